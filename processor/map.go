package processor

import "context"

// Map returns a Handler that makes one output of each input by f. The output has the input's key, headers and
// timestamp. An error of f is an error of the record, as for any Handler.
func Map[In, Out any](f func(In) (Out, error)) Handler[In, Out] {
	return func(_ context.Context, in Record[In]) ([]Record[Out], error) {
		v, err := f(in.Value)
		if err != nil {
			return nil, err
		}
		return []Record[Out]{With(in, v)}, nil
	}
}

// MapRecord is Map for a function that needs more than the value: the context of the call, and the record's key,
// headers, timestamp and coordinates. The output has the input's key, headers and timestamp.
func MapRecord[In, Out any](f func(ctx context.Context, in Record[In]) (Out, error)) Handler[In, Out] {
	return func(ctx context.Context, in Record[In]) ([]Record[Out], error) {
		v, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		return []Record[Out]{With(in, v)}, nil
	}
}

// MapKey returns a Handler that gives each record the key that f makes of its value; nil means no key. The record goes
// to the partition of its new key, so records of one new key that come from several partitions have no order among
// them.
func MapKey[T any](f func(T) ([]byte, error)) Handler[T, T] {
	return func(_ context.Context, in Record[T]) ([]Record[T], error) {
		key, err := f(in.Value)
		if err != nil {
			return nil, err
		}
		out := With(in, in.Value)
		out.Key = key
		return []Record[T]{out}, nil
	}
}

// Filter returns a Handler that hands on the records for whose value keep returns true, as they are. The others have no
// output; they are processed like any record, and not counted as skipped.
func Filter[T any](keep func(T) (bool, error)) Handler[T, T] {
	return func(_ context.Context, in Record[T]) ([]Record[T], error) {
		ok, err := keep(in.Value)
		if err != nil || !ok {
			return nil, err
		}
		return []Record[T]{With(in, in.Value)}, nil
	}
}

// FlatMap returns a Handler that makes any number of outputs of each input: one for each value that f returns, in
// order. Each has the input's key, headers and timestamp.
func FlatMap[In, Out any](f func(In) ([]Out, error)) Handler[In, Out] {
	return func(_ context.Context, in Record[In]) ([]Record[Out], error) {
		values, err := f(in.Value)
		if err != nil {
			return nil, err
		}
		outs := make([]Record[Out], len(values))
		for i, v := range values {
			outs[i] = With(in, v)
		}
		return outs, nil
	}
}

// Then returns a Handler that hands each output of f to g and returns what g makes of them, in order. An error of
// either is an error of the input record, and then there is no output at all. g gets the coordinates (Topic, Partition,
// Offset) of the input record if f has made its outputs by With, as Map, Filter, FlatMap and Put do.
func Then[A, B, C any](f Handler[A, B], g Handler[B, C]) Handler[A, C] {
	return func(ctx context.Context, in Record[A]) ([]Record[C], error) {
		between, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		var outs []Record[C]
		for _, r := range between {
			more, err := g(ctx, r)
			if err != nil {
				return nil, err
			}
			outs = append(outs, more...)
		}
		return outs, nil
	}
}
