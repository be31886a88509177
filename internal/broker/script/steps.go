package script

import (
	"errors"
	"fmt"
	"strings"

	"github.com/eos-pipe/eos-pipe/internal/broker/model"
)

// stepKinds are the lines that only a broker with [Steps] can run.
var stepKinds = map[string]func(*Runner, *words) (string, error){
	"marker": func(r *Runner, w *words) (string, error) {
		return r.step(w, model.Step{Kind: model.StepMarker, TxnID: w.name("transactional id"), Partition: w.partition()})
	},
	"complete": func(r *Runner, w *words) (string, error) {
		return r.step(w, model.Step{Kind: model.StepComplete, TxnID: w.name("transactional id")})
	},
	"timeout": func(r *Runner, w *words) (string, error) {
		return r.step(w, model.Step{Kind: model.StepTimeout, TxnID: w.name("transactional id")})
	},
	"expire": func(r *Runner, w *words) (string, error) {
		return r.step(w, model.Step{Kind: model.StepExpireTxnID, TxnID: w.name("transactional id")})
	},
	"expire-producers": func(r *Runner, w *words) (string, error) {
		return r.step(w, model.Step{Kind: model.StepExpireProducers, Partition: w.partition()})
	},
	"steps": (*Runner).listSteps,
	"reload": func(r *Runner, w *words) (string, error) {
		return r.internal(w, func(s Steps) { s.ReloadCoordinator() })
	},
	"restart-leader": func(r *Runner, w *words) (string, error) {
		p := w.partition()
		return r.internal(w, func(s Steps) { s.RestartLeader(p) })
	},
	"lose-leader": func(r *Runner, w *words) (string, error) {
		p := w.partition()
		return r.internal(w, func(s Steps) { s.SetLeaderless(p, true) })
	},
	"find-leader": func(r *Runner, w *words) (string, error) {
		p := w.partition()
		return r.internal(w, func(s Steps) { s.SetLeaderless(p, false) })
	},
	"lag": func(r *Runner, w *words) (string, error) {
		p := w.partition()
		return r.internal(w, func(s Steps) { s.SetLagging(p) })
	},
	"replicate": func(r *Runner, w *words) (string, error) {
		p, offset := w.partition(), w.number("offset")
		return r.internal(w, func(s Steps) { s.ReplicateTo(p, offset) })
	},
}

var errNoSteps = errors.New(`this broker takes no steps on demand; the script has to say "needs steps"`)

func (r *Runner) internal(w *words, do func(Steps)) (string, error) {
	if err := w.finish(); err != nil {
		return "", err
	}
	s, ok := r.broker.(Steps)
	if !ok {
		return "", errNoSteps
	}
	do(s)
	return "done", nil
}

func (r *Runner) step(w *words, step model.Step) (text string, err error) {
	_, err = r.internal(w, func(s Steps) {
		answer, ok := s.Take(step)
		switch {
		case !ok:
			text = "not possible"
		case step.Kind == model.StepMarker:
			text = codeText(answer.Code)
		default:
			text = "done"
		}
	})
	return text, err
}

func (r *Runner) listSteps(w *words) (text string, err error) {
	_, err = r.internal(w, func(s Steps) {
		var texts []string
		for _, step := range s.Steps() {
			t := step.Kind.String()
			if step.TxnID != "" {
				t = fmt.Sprintf("%s %s", t, step.TxnID)
			}
			if step.Partition.Topic != "" {
				t = fmt.Sprintf("%s %s", t, r.namePartition(step.Partition))
			}
			texts = append(texts, t)
		}
		text = strings.Join(texts, ", ")
	})
	if text == "" {
		text = "none"
	}
	return text, err
}
