package proc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/supertrees/supervise/proc"
	"github.com/supertrees/supervise/proc/proctest"
)

func TestLNK1ALinkOrMonitorOfNobodyIsNoProcAtOnce(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		dead := must[proc.Addr](t)(proc.WhereIs(ctx, Srv))
		tree.Kill("/srv")
		downs := make(chan proc.Down, 3)
		for _, to := range []proc.Target{proc.Name("nobody"), proc.Name("/srv"), dead} {
			wantErr(t, tree.Client().Link(to, proc.LinkPeer), proc.ErrNoProc)
			tree.Client().Monitor(to, func(_ context.Context, d proc.Down) error { downs <- d; return nil })
			if d := <-downs; d.Reason.Class != proc.NoProc {
				t.Errorf("%v: %+v", to, d)
			}
			if d, err := proc.Wait(ctx, to); err != nil || d.Reason.Class != proc.NoProc {
				t.Errorf("waiting for %v: %+v, %v", to, d, err)
			}
		}
		start(t, tree, "/me", func(s *proc.Server) error {
			wantErr(t, s.Link(s.Self(), proc.LinkPeer), proc.ErrCallingSelf)
			return nil
		})
	})
}

func TestLNK2ALinkIsOnePerPairAndMonitorsAreMany(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		exits := make(chan proc.Down, 10)
		downs := make(chan proc.Down, 10)
		start(t, tree, "/watcher", func(s *proc.Server) error {
			s.TrapExit(func(_ context.Context, d proc.Down) error { exits <- d; return nil })
			for range 3 {
				if err := s.Link(Srv, proc.LinkPeer); err != nil {
					return err
				}
				s.Monitor(Srv, func(_ context.Context, d proc.Down) error { downs <- d; return nil })
			}
			return nil
		})
		start(t, tree, "/second", func(s *proc.Server) error {
			s.Monitor(Srv, func(_ context.Context, d proc.Down) error { downs <- d; return nil })
			return nil
		})
		Die.Cast(ctx, Srv, "broken")
		tree.Wait("/srv")
		synctest.Wait()
		if len(exits) != 1 || len(downs) != 4 {
			t.Errorf("%d exits, %d downs", len(exits), len(downs))
		}
		if d := <-downs; d.Path != "/srv" || d.Incarnation != 1 || d.Reason != (proc.Reason{Class: proc.Abnormal, Detail: "broken"}) {
			t.Errorf("down: %+v", d)
		}
		// And the other way: the link is symmetric.
		start(t, tree, "/srv", srv)
		start(t, tree, "/third", func(s *proc.Server) error { return s.Link(Srv, proc.LinkNotify) })
		tree.Kill("/third")
		if d := tree.Wait("/srv"); d.Reason.Detail != "cascade: /third#1" {
			t.Errorf("the notified one ended %v", d.Reason)
		}
	})
}

func TestLNK3AfterUnlinkAndCancelNothingComes(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		start(t, tree, "/plain", func(s *proc.Server) error {
			if err := s.Link(Srv, proc.LinkPeer); err != nil {
				return err
			}
			mon := s.Monitor(Srv, func(context.Context, proc.Down) error { return errors.New("must not run") })
			mon.Cancel()
			Echo.Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
			return s.Unlink(Srv)
		})
		tree.Kill("/srv")
		synctest.Wait()
		must[string](t)(Echo.Call(ctx, proc.Name("/plain"), "alive"))

		// A DOWN that is in the mailbox already is taken out by Cancel.
		start(t, tree, "/srv", srv)
		ran := false
		start(t, tree, "/flush", func(s *proc.Server) error {
			mon := s.Monitor(Srv, func(context.Context, proc.Down) error { ran = true; return nil })
			Note.Handle(s, func(context.Context, string) error {
				tree.Kill("/srv")
				synctest.Wait()
				mon.Cancel()
				return nil
			})
			return nil
		})
		if err := Note.Call(ctx, proc.Name("/flush"), ""); err != nil {
			t.Fatal(err)
		}
		tree.Stop("/flush")
		if ran {
			t.Error("a cancelled monitor ran")
		}
	})
}

func TestLNK4ANormalEndHasNoEffectOnOthers(t *testing.T) {
	for _, how := range []string{"normal", "shutdown"} {
		story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
			start(t, tree, "/plain", func(s *proc.Server) error {
				Echo.Handle(s, func(_ context.Context, text string) (string, error) { return text, nil })
				return s.Link(Srv, proc.LinkPeer)
			})
			Die.Cast(ctx, Srv, how)
			tree.Wait("/srv")
			synctest.Wait()
			must[string](t)(Echo.Call(ctx, proc.Name("/plain"), "alive"))
		})
	}
}

func TestAFaultGoesDownAChainOfLinks(t *testing.T) {
	story(t, func(t *testing.T, tree *proctest.Tree, ctx context.Context) {
		start(t, tree, "/d2", func(s *proc.Server) error { return s.Link(Srv, proc.LinkMonitor) })
		exits := make(chan proc.Down, 2)
		start(t, tree, "/d3", func(s *proc.Server) error {
			s.TrapExit(func(_ context.Context, d proc.Down) error { exits <- d; return nil })
			return s.Link(proc.Name("/d2"), proc.LinkMonitor)
		})
		Die.Cast(ctx, Srv, "panic")
		if d := <-exits; d.Path != "/d2" || d.Reason.Detail != "cascade: /srv#1" {
			t.Errorf("d3 heard of %+v", d)
		}
		synctest.Wait()
		if len(exits) != 0 {
			t.Error("twice")
		}
	})
}
