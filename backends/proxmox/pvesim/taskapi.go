package pvesim

import (
	"regexp"
	"slices"
	"strings"
)

func taskHandlers() map[string]handler {
	return map[string]handler{
		"GET /nodes/{node}/tasks":               listTasks,
		"GET /nodes/{node}/tasks/{upid}/status": taskStatus,
		"GET /nodes/{node}/tasks/{upid}/log":    taskLog,
		"DELETE /nodes/{node}/tasks/{upid}":     stopTask,
		"GET /cluster/tasks":                    clusterTasks,
	}
}

// upidPattern is that of PVE::UPID (facts 7).
var upidPattern = regexp.MustCompile(`^UPID:([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):$`)

// task finds the task of a call, which belongs to the caller or may be audited.
func (s *Server) task(c *call, privilege string) (*task, error) {
	upid := c.get("upid")
	if !upidPattern.MatchString(upid) {
		return nil, invalidParameter("upid", "unable to parse worker upid '"+upid+"'") // source
	}
	t := s.tasks.byUPID[upid]
	if t == nil || t.node != c.node() {
		return nil, invalidParameter("upid", "no such task") // recorded 142
	}
	if t.unseen { // facts 10.10: "no such task" right after an upload
		t.unseen = false
		return nil, invalidParameter("upid", "no such task")
	}
	if !s.ownsTask(c, t) {
		if err := s.check(c, "/nodes/"+t.node, privilege); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// ownsTask: a token sees its own tasks, and a user also those of his tokens (source).
func (s *Server) ownsTask(c *call, t *task) bool {
	return t.who == c.who.id || (c.who.token == nil && strings.HasPrefix(t.who, c.who.user+"!"))
}

func taskStatus(s *Server, c *call) (any, error) {
	t, err := s.task(c, "Sys.Audit")
	if err != nil {
		return nil, err
	}
	entry := t.entry()
	entry["status"] = "running"
	if t.done {
		entry["status"], entry["exitstatus"] = "stopped", t.status // recorded 49
	}
	return entry, nil
}

func taskLog(s *Server, c *call) (any, error) {
	t, err := s.task(c, "Sys.Audit")
	if err != nil {
		return nil, err
	}
	limit := 50 // the default of the schema
	if c.has("limit") {
		limit = c.number("limit")
	}
	lines := []map[string]any{}
	for i, text := range t.log {
		if i >= c.number("start") && (limit == 0 || len(lines) < limit) {
			lines = append(lines, map[string]any{"n": i + 1, "t": text})
		}
	}
	body := encode(map[string]any{"data": lines, "total": len(t.log)}) // total stands beside data (recorded 50)
	return response{status: 200, body: body}, nil
}

// stopTask ends a task at its next step.
func stopTask(s *Server, c *call) (any, error) {
	t, err := s.task(c, "Sys.Modify")
	if err != nil {
		return nil, err
	}
	if !t.done {
		t.cancel()
	}
	return nil, nil
}

// listTasks has the newest first, and the exit status as status (upload-cases).
func listTasks(s *Server, c *call) (any, error) {
	limit := 50
	if c.has("limit") {
		limit = c.number("limit")
	}
	list := []map[string]any{}
	skip := c.number("start")
	for _, t := range slices.Backward(s.tasks.order) {
		if t.node != c.node() || !s.listed(c, t) {
			continue
		}
		if skip--; skip >= 0 {
			continue
		}
		if len(list) == limit {
			break
		}
		entry := t.entry()
		if t.done {
			entry["status"], entry["endtime"] = t.status, t.ended.Unix()
		}
		list = append(list, entry)
	}
	return list, nil
}

func (s *Server) listed(c *call, t *task) bool {
	if !s.ownsTask(c, t) && !s.may(c, "/nodes/"+t.node, "Sys.Audit") {
		return false
	}
	source := c.get("source") // archive is the default of the schema
	active := !t.done
	if (source == "" || source == "archive") && active || source == "active" && !active {
		return false
	}
	failed := t.done && t.status != "OK" && !strings.HasPrefix(t.status, "WARNINGS: ")
	return (!c.flag("errors") || failed) && (!c.has("vmid") || t.id == c.get("vmid")) && (!c.has("typefilter") || t.kind == c.get("typefilter")) &&
		(!c.has("since") || t.started.Unix() >= int64(c.number("since"))) && (!c.has("until") || t.started.Unix() <= int64(c.number("until")))
}

// clusterTasks are the recent ones of all nodes, as the statistics daemon
// collected them.
func clusterTasks(s *Server, c *call) (any, error) {
	list := []map[string]any{}
	for _, t := range slices.Backward(s.tasks.order) {
		if len(list) < 25 && (s.ownsTask(c, t) || s.may(c, "/nodes/"+t.node, "Sys.Audit")) {
			entry := t.entry()
			entry["saved"] = "1"
			if t.done {
				entry["status"], entry["endtime"] = t.status, t.ended.Unix()
			}
			list = append(list, entry)
		}
	}
	return list, nil
}
