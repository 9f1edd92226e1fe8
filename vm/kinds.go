package vm

import (
	"github.com/nixvm/nixvm/api"
	"github.com/nixvm/nixvm/operation"
)

// kinds are all operations. What hangs must not keep a person from ending it: kill
// and destroy end what runs.
func (s *Service) kinds() map[api.Kind]operation.Verb {
	return map[api.Kind]operation.Verb{
		api.KindCreate:          {Plan: planFrom(s.planCreate), Makes: true},
		api.KindClone:           {Plan: planFrom(s.planClone), Makes: true},
		api.KindStart:           {Plan: planFrom(s.planStart)},
		api.KindStop:            {Plan: planFrom(s.planStop), Spaceless: true},
		api.KindKill:            {Plan: planFrom(s.planKill), Spaceless: true, Rank: 1},
		api.KindReboot:          {Plan: planFrom(s.planReboot)},
		api.KindSuspend:         {Plan: planFrom(s.planSuspend), Spaceless: true},
		api.KindResume:          {Plan: planFrom(s.planResume), Spaceless: true},
		api.KindDestroy:         {Plan: planFrom(s.planDestroy), Spaceless: true, Rank: 2},
		api.KindPurge:           {Plan: planFrom(s.planDestroy), Spaceless: true, Rank: 2},
		api.KindSnapshot:        {Plan: planFrom(s.planSnapshot)},
		api.KindRestoreSnapshot: {Plan: planFrom(s.planRestore)},
		api.KindDeleteSnapshot:  {Plan: planFrom(s.planDeleteSnapshot), Spaceless: true},
		api.KindMigrate:         {Plan: planFrom(s.planMigrate), Continues: true},
		api.KindUpgrade:         {Plan: planFrom(s.planUpgrade)},
		api.KindRollback:        {Plan: planFrom(s.planUpgrade)},
		api.KindRecreate:        {Plan: planFrom(s.planRecreate)},
		api.KindRename:          {Plan: planFrom(s.planRename)},
		api.KindApply:           {Plan: planFrom(s.planApply)},
		api.KindBuildImage:      {Plan: planFrom(s.planBuildImage)},
		api.KindBackup:          {Plan: planFrom(s.planBackup)},
		api.KindRestoreBackup:   {Plan: planFrom(s.planRestoreBackup)},
		api.KindImport:          {Plan: planFrom(s.planImport), Makes: true},
		api.KindPull:            {Plan: planFrom(s.planPull)},
	}
}
