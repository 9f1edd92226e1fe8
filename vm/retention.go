package vm

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/internal/atomicfile"
	"github.com/nixvm/nixvm/operation"
)

// pruneBackups removes the backups of a machine that the rule in config.toml does not
// keep. What cannot be removed, or read, stays.
func (s *Service) pruneBackups(name string, r *operation.Run) error {
	list, err := s.Backups(context.WithoutCancel(s.ctx), name)
	if err != nil {
		return err
	}
	var whole []api.Backup
	for _, b := range list {
		if b.Problem == nil {
			whole = append(whole, b)
		}
	}
	for _, b := range superseded(whole, s.config.Backup.Keep) {
		if err := os.Remove(b.File); err != nil {
			r.Warn(fmt.Sprintf("the old backup %s stays: %v", b.ID, err))
			continue
		}
		s.log.Info("old backup removed", "machine", name, "backup", b.ID)
	}
	return atomicfile.SyncDir(s.layout.Backups())
}

// superseded returns the backups that the rule does not keep; list is oldest first. It
// keeps the newest of each of the last days, and of each of the last weeks (from Monday),
// that have any. The newest of all is always kept.
func superseded(list []api.Backup, keep Keep) []api.Backup {
	var old []api.Backup
	days, weeks := map[string]bool{}, map[string]bool{}
	for i := len(list) - 1; i >= 0; i-- {
		at := list[i].Created.Local()
		day, week := at.Format(time.DateOnly), weekOf(at)
		daily, weekly := !days[day] && len(days) < keep.Daily, !weeks[week] && len(weeks) < keep.Weekly
		if daily {
			days[day] = true
		}
		if weekly {
			weeks[week] = true
		}
		if !daily && !weekly && i < len(list)-1 {
			old = append(old, list[i])
		}
	}
	return old
}

func weekOf(t time.Time) string {
	year, week := t.ISOWeek()
	return fmt.Sprintf("%d-%d", year, week)
}
