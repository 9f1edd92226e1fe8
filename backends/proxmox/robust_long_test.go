//go:build long

package proxmox_test

import "testing"

func TestLongNothingIsLeftOfAnImportWhicheverConnectionEnds(t *testing.T) { loseRequestsOfImport(t, 1) }

func TestLongNothingIsLostOrDoubledWhicheverConnectionEnds(t *testing.T) { loseRequests(t, 1) }

func TestLongEveryRequestOfAChangeOfRulesIsLost(t *testing.T) { loseRuleRequests(t, 1) }

func TestLongEveryRequestOfAMoveIsLost(t *testing.T) { loseMoveRequests(t, 1) }
