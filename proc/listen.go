package proc

import (
	"context"
	"iter"
	"sync"
)

// Listen handles the items of a stream in the mailbox, one at a time: the next
// is pulled, beside the mailbox, when the last has been handled. An error of f
// ends the listening and is logged. cancel stops it; what is being pulled then
// is dropped. It ends with the server.
func Listen[T any](s *Server, items iter.Seq[T], f func(context.Context, T) error) (cancel func()) {
	stop := make(chan struct{})
	cancel = sync.OnceFunc(func() { close(stop) })
	go func() {
		for v := range items {
			failed := false
			handled := make(chan struct{})
			ok, _ := s.box.put(item{job: &job{"an item of a stream", func(ctx context.Context) error {
				defer close(handled)
				select {
				case <-stop:
					return nil
				default:
				}
				err := f(ctx, v)
				failed = err != nil
				return err
			}}})
			if !ok {
				return
			}
			select {
			case <-handled:
				if failed {
					return
				}
			case <-stop:
				return
			case <-s.stopping.Done():
				return
			}
		}
	}()
	return cancel
}
