package protobuf

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/eos-pipe/eos-pipe/codec/registry"
)

// Imports that clients know by themselves are not looked up as subjects: no registry is asked.
func TestKnownImports(t *testing.T) {
	f, err := protodesc.FileOptions{AllowUnresolvable: true}.New(&descriptorpb.FileDescriptorProto{
		Name: new("a.proto"), Dependency: []string{"google/protobuf/any.proto", "google/type/money.proto", "confluent/meta.proto"},
	}, nil)
	require.NoError(t, err)
	reg, err := registry.New(registry.Config{URLs: []string{"http://127.0.0.1:1"}, Attempts: 1})
	require.NoError(t, err)
	refs, err := references(reg, f, nil, false)
	require.NoError(t, err)
	require.Empty(t, refs)
}

// The default JSON names are protoc's.
func TestJSONNames(t *testing.T) {
	for name, want := range map[string]string{"id": "id", "order_id": "orderId", "a_1b": "a1b", "_x": "X", "x__y_": "xY", "Order_ID": "OrderID"} {
		require.Equal(t, want, jsonName(name), name)
	}
}
