package pvesim

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A pair is a request to a real Proxmox VE 9.2 and its answer. Progress lines of
// copies are left out, and a very long body is written x*LENGTH.
type pair struct {
	Seq    int    `json:"seq"`
	Run    int    `json:"run"`
	Label  string `json:"label"`
	Of     string `json:"of"`
	As     string `json:"as"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Resp   string `json:"resp"`
	// Env says that the outcome came from the recording node, and not from Proxmox VE.
	Env string `json:"env"`
}

func recorded(t *testing.T) []pair {
	t.Helper()
	file, err := os.Open("testdata/recorded.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var pairs []pair
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p pair
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// A replay sends the recorded requests in their order to one simulator.
type replay struct {
	*client
	pairs []pair
	// renamed has what the simulator calls a recorded UPID, PID or ticket.
	renamed map[string]string
	root1   *client
	tokens  map[string]string
	absent  bool
	skipped map[string]int
}

// TestTheRecordedPairsAreAnsweredAsRecorded compares for each pair the status, the
// reason phrase, message and parameters of errors, the members of the data, and of
// tasks the exit status and the log.
func TestTheRecordedPairsAreAnsweredAsRecorded(t *testing.T) {
	r := &replay{pairs: recorded(t), renamed: map[string]string{}, tokens: map[string]string{}, skipped: map[string]int{}, absent: true}
	r.client = start(t, Config{
		Tokens: []Token{}, ACL: []ACL{}, LockTimeout: 1, Machines: Memory{Deaf: true},
		Agent: func(vm VM) Agent {
			return Agent{Absent: r.absent, Disabled: []string{"guest-fsfreeze-freeze"}, Interfaces: DefaultAgent(vm).Interfaces, Run: func([]string, string) (string, int) { return "hi\n", 0 }}
		},
	})
	r.token, r.root1 = "", r.client.root()
	replayed := 0
	for _, p := range r.pairs {
		undo := r.prepare(p)
		reason := r.play(p)
		undo()
		if reason != "" {
			r.skipped[reason]++
			continue
		}
		replayed++
	}
	for _, reason := range sortedKeys(r.skipped) {
		t.Logf("skipped %3d: %s", r.skipped[reason], reason)
	}
	t.Logf("replayed %d of %d recorded pairs", replayed, len(r.pairs))
	if replayed < 360 {
		t.Errorf("only %d pairs were replayed", replayed)
	}
}

// prepare does what happened between the recorded pairs, and what the recording
// node suffered.
func (r *replay) prepare(p pair) (undo func()) {
	undo = func() {}
	root := r.root1
	switch p.Seq {
	case 42:
		r.token = r.tokens["nixvmd@pve!t1"]
		r.putImage("nixos.qcow2", 2<<30)
	case 290, 369, 453: // identical pairs were recorded once
		r.ok(nil, "POST", "/nodes/pve1/qemu/101/firewall/rules", "type=in", "action=ACCEPT", "proto=tcp", "dport=22", "enable=1")
	case 504: // s2 was deleted before the template was made
		root.expect("OK", "DELETE", vm100+"/snapshot/s2")
	case 551:
		root.expect("OK", "POST", "/nodes/pve1/qemu", vmParameters("100", "scsi0=thin:0,import-from=local:import/nixos.qcow2,format=qcow2")...)
		root.expect("OK", "POST", vm100+"/status/start")
		root.expect("OK", "POST", vm100+"/status/suspend")
	case 569:
		root.expect("OK", "POST", vm100+"/status/stop")
	case 578: // a shutdown overruled by a stop
		r.token = r.tokens["nixvmd@pve!t1"]
		release := r.sim.HoldTasks("qmshutdown")
		var shutdown string
		r.ok(&shutdown, "POST", vm100+"/status/shutdown")
		r.expect("OK", "POST", vm100+"/status/stop", "overrule-shutdown=1")
		release()
		r.wait(shutdown)
	case 595:
		r.absent = false
	case 620:
		return r.sim.HoldLock(100)
	case 627:
		root.ok(nil, "POST", "/access/users", "userid=min@pve")
	}
	// A task that failed for a reason of the recording node fails here too.
	if exit := r.exitOf(p); exit != "" {
		kind := TaskFails
		if p.Label == "snap-running" {
			kind = StuckLock // it left the VM locked (recorded 402)
		}
		r.sim.Inject(Fault{Kind: kind, Method: p.Method, Times: 1, Text: exit})
		return r.sim.Heal
	}
	return undo
}

// exitOf is the exit status of the task of a request if it came from the node.
func (r *replay) exitOf(p pair) string {
	var upid string
	if data(p.Resp, &upid) != nil || !strings.HasPrefix(upid, "UPID:") {
		return ""
	}
	var status struct{ ExitStatus string }
	ofNode := false
	for _, other := range r.pairs {
		if strings.HasPrefix(other.Label, "task-") && strings.Contains(decodeSegment(other.Path), upid) {
			ofNode = ofNode || other.Env != ""
			if other.Label == "task-status" && data(other.Resp, &status) != nil {
				r.t.Errorf("%d: %s", other.Seq, other.Resp)
			}
		}
	}
	if !ofNode || status.ExitStatus == "OK" {
		return ""
	}
	return status.ExitStatus
}

func data(resp string, into any) error {
	var body struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(resp), &body); err != nil {
		return err
	}
	return json.Unmarshal(body.Data, into)
}

// play sends a pair's request and compares; it returns why it did not.
func (r *replay) play(p pair) (skipped string) {
	path := r.rename(strings.TrimPrefix(p.Path, prefix))
	route, _ := r.sim.router.find(p.Method, strings.SplitN(path, "?", 2)[0])
	if route == nil && p.Status != 501 {
		return "a method that nixvm does not use"
	}
	if p.Env != "" {
		return "an outcome of the recording node"
	}
	if p.Label == "login" || p.As == "root-ticket" && strings.HasPrefix(p.Label, "unlock") {
		r.root1 = r.as("").root()
	}
	c, ok := r.caller(p.As)
	if !ok {
		return "a caller who was not recorded"
	}
	body := r.rename(p.Body)
	if p.Label == "login" {
		body = strings.Replace(body, "SCRUBBED-PASSWORD", r.sim.RootPassword, 1)
	}
	if head, length, ok := strings.Cut(body, "content=x*"); ok {
		n := 0
		_, _ = fmt.Sscan(length, &n)
		body = head + "content=" + strings.Repeat("x", n)
	}
	kind := "application/x-www-form-urlencoded"
	if strings.HasPrefix(body, "{") {
		kind = "application/json"
	}
	a, err := c.try(p.Method, path, kind, strings.NewReader(body))
	if err != nil {
		r.t.Errorf("%d %s: %v", p.Seq, p.Label, err)
		return ""
	}
	r.learn(p, a)
	if strings.HasPrefix(p.Label, "task-") && a.status == 200 {
		return r.compareTask(p, c, path)
	}
	r.compare(p, a)
	return ""
}

func (r *replay) caller(as string) (*client, bool) {
	switch as {
	case "root-ticket":
		return r.root1, true
	case "none":
		return r.as(""), true
	case "wrong-token":
		return r.as("nixvmd@pve!t1=wrong"), true
	}
	token, ok := r.tokens[as]
	return r.as(token), ok
}

// learn notes what the simulator named differently.
func (r *replay) learn(p pair, a *answer) {
	var recorded, now map[string]any
	var upid, upidNow string
	switch {
	case data(p.Resp, &upid) == nil && json.Unmarshal(a.Data, &upidNow) == nil && strings.HasPrefix(upid, "UPID:"):
		r.renamed[upid], r.renamed[url.QueryEscape(upid)] = upidNow, url.PathEscape(upidNow)
		r.root1.wait(upidNow) // as root, who may see every task
	case data(p.Resp, &recorded) == nil && json.Unmarshal(a.Data, &now) == nil:
		for _, member := range []string{"pid", "ticket", "port"} {
			if recorded[member] != nil && now[member] != nil && p.Method == "POST" {
				from, to := fmt.Sprint(recorded[member]), fmt.Sprint(now[member])
				if member == "pid" {
					from, to = fmt.Sprintf("pid=%.0f", recorded[member]), fmt.Sprintf("pid=%.0f", now[member])
				}
				r.renamed[from], r.renamed[url.QueryEscape(from)] = to, url.QueryEscape(to)
			}
		}
		if id, _ := now["full-tokenid"].(string); id != "" {
			r.tokens[id] = id + "=" + now["value"].(string)
		}
	}
}

func (r *replay) rename(text string) string {
	names := sortedKeys(r.renamed)
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, name := range names {
		text = strings.ReplaceAll(text, name, r.renamed[name])
	}
	return text
}

func (r *replay) compare(p pair, a *answer) {
	where := fmt.Sprintf("%d %s: %s %s %s", p.Seq, p.Label, p.Method, p.Path, p.Body)
	if a.status != p.Status || p.Label != "broken-json" && a.reason != p.Reason {
		r.t.Errorf("%s\n  answered %d %q\n  recorded %d %q\n  %s", where, a.status, a.reason, p.Status, p.Reason, a.body)
		return
	}
	var want struct {
		Data    any
		Message *string
		Errors  map[string]string
	}
	if p.Resp == "" || json.Unmarshal([]byte(p.Resp), &want) != nil {
		if (p.Resp == "") != (len(a.body) == 0) {
			r.t.Errorf("%s\n  body %q", where, a.body)
		}
		return
	}
	if want.Message != nil && a.Message != *want.Message {
		r.t.Errorf("%s\n  message %q, want %q", where, a.Message, *want.Message)
	}
	if len(want.Errors) != len(a.Errors) {
		r.t.Errorf("%s\n  errors %v, want %v", where, a.Errors, want.Errors)
	}
	for name, text := range want.Errors {
		if a.Errors[name] != text {
			r.t.Errorf("%s\n  errors of %s: %q, want %q", where, name, a.Errors[name], text)
		}
	}
	var got any
	if err := json.Unmarshal(a.Data, &got); err != nil {
		r.t.Errorf("%s\n  %s", where, a.body)
		return
	}
	if difference := differ(want.Data, got); difference != "" {
		r.t.Errorf("%s\n  %s\n  answered %.600s\n  recorded %.600s", where, difference, a.body, p.Resp)
	}
}

// shaped are members whose values depend on the moment or on chance.
var shaped = regexp.MustCompile(`^(digest|ctime|snaptime|starttime|endtime|pstart|pid|uptime|mem|used|total|avail|used_fraction|net\d|smbios1|vmgenid|meta|upid|ticket|value|password|cert|port|CSRFPreventionToken|ssl_fingerprint|netin|netout|nics|cap|result|qmpstatus|address|cidr|hardware-address|parent)$`)

// differ compares the recorded data with the simulated: values, of some members
// only that they are there and of which type, of lists the number of elements.
func differ(want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		members, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%T instead of an object", got)
		}
		for _, name := range sortedKeys(want) {
			value, there := members[name]
			if !there {
				return "without the member " + name
			}
			if shaped.MatchString(name) {
				if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", want[name]) {
					return fmt.Sprintf("%s: %T instead of %T", name, value, want[name])
				}
				continue
			}
			if difference := differ(want[name], value); difference != "" {
				return name + ": " + difference
			}
		}
		for _, name := range sortedKeys(members) {
			if _, there := want[name]; !there {
				return "with the member " + name
			}
		}
		return ""
	case []any:
		elements, ok := got.([]any)
		if !ok || len(elements) != len(want) {
			return fmt.Sprintf("%v instead of %d elements", got, len(want))
		}
		order(want)
		order(elements)
		for i := range want {
			if difference := differ(want[i], elements[i]); difference != "" {
				return fmt.Sprintf("%d: %s", i, difference)
			}
		}
		return ""
	}
	want, got = normal(want), normal(got)
	if fmt.Sprint(want) != fmt.Sprint(got) || fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
		return fmt.Sprintf("%v (%[1]T) instead of %v (%[2]T)", got, want)
	}
	return ""
}

// normal leaves of a UPID what does not depend on the moment, and brings the kinds
// of content of a storage into order, which is random there.
func normal(v any) any {
	text, _ := v.(string)
	if parts := strings.Split(text, ":"); parts[0] == "UPID" && len(parts) == 9 {
		return strings.Join(append(parts[:2], parts[5:]...), ":")
	}
	if strings.Contains(text, ",images") || strings.Contains(text, "images,") {
		kinds := strings.Split(text, ",")
		slices.Sort(kinds)
		return strings.Join(kinds, ",")
	}
	return v
}

// order sorts objects by what names them.
func order(list []any) {
	name := func(v any) string {
		object, _ := v.(map[string]any)
		for _, member := range []string{"volid", "storage", "iface", "vmid"} {
			if value, ok := object[member]; ok {
				return fmt.Sprint(value)
			}
		}
		return ""
	}
	slices.SortStableFunc(list, func(a, b any) int { return cmp.Compare(name(a), name(b)) })
}

var volatile = regexp.MustCompile(`^(trying to acquire lock\.\.\.| OK|transferred .*|INFO: Failed at .*)$`)

// compareTask compares the exit status, or the log but for its progress.
func (r *replay) compareTask(p pair, c *client, path string) string {
	if p.Label == "task-status" {
		a, err := c.try("GET", path, "", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		r.compare(p, a)
		return ""
	}
	a, err := c.try("GET", strings.SplitN(path, "?", 2)[0]+"?limit=0", "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	var now, then []struct{ T string }
	if json.Unmarshal(a.Data, &now) != nil || data(p.Resp, &then) != nil {
		r.t.Errorf("%d: %s", p.Seq, a.body)
		return ""
	}
	lines := func(list []struct{ T string }) (texts []string) {
		for _, line := range list {
			if !volatile.MatchString(line.T) {
				texts = append(texts, words(line.T))
			}
		}
		return texts
	}
	if got, want := lines(now), lines(then); !slices.Equal(got, want) {
		r.t.Errorf("%d %s of %s:\n  log      %q\n  recorded %q", p.Seq, p.Label, p.Of, got, want)
	}
	return ""
}

// words brings the options of a recorded command into order, which is random there.
func words(line string) string {
	if head, options, ok := strings.Cut(line, "backup job: vzdump "); ok {
		parts := strings.Split(options, " --")
		slices.Sort(parts)
		return head + strings.Join(parts, " --")
	}
	return line
}
