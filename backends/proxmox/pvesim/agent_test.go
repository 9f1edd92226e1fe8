package pvesim

import (
	"strings"
	"testing"
)

func TestTheGuestAgent(t *testing.T) {
	absent := false
	c := withVM(t, Config{Agent: func(vm VM) Agent {
		agent := DefaultAgent(vm)
		agent.Absent, agent.Disabled = absent, []string{"guest-fsfreeze-freeze"}
		agent.Run = func(command []string, input string) (string, int) { return strings.Join(command, " ") + input, 3 }
		return agent
	}})
	agent := vm100 + "/agent"
	c.fails(500, "VM 100 is not running", "POST", agent+"/ping")
	c.expect("OK", "POST", vm100+"/status/start")
	c.ok(nil, "POST", agent+"/ping")
	var net struct {
		Result []struct {
			Name      string
			MAC       string `json:"hardware-address"`
			Addresses []struct {
				Address string `json:"ip-address"`
			} `json:"ip-addresses"`
		}
	}
	c.ok(&net, "GET", agent+"/network-get-interfaces")
	mac := strings.ToLower(macOf(c.config("100")["net0"].(string)))
	if len(net.Result) != 2 || net.Result[1].MAC != mac || !strings.HasPrefix(net.Result[1].Addresses[0].Address, "198.51.100.") {
		t.Errorf("%+v", net)
	}
	a, err := c.try("POST", "/nodes/pve1/qemu/100/agent/exec", "application/json", strings.NewReader(`{"command": ["echo", "a b"], "input-data": "in"}`))
	if err != nil || a.status != 200 {
		t.Fatalf("%v %s", err, a.body)
	}
	pid := strings.Trim(string(a.Data), `{}"pid:`)
	var status struct {
		Exited, ExitCode int
		Output           string `json:"out-data"`
	}
	if c.ok(&status, "GET", agent+"/exec-status", "pid="+pid); status.Exited != 0 {
		t.Errorf("%+v", status)
	}
	if c.ok(&status, "GET", agent+"/exec-status", "pid="+pid); status.Exited != 1 || status.ExitCode != 3 || status.Output != "echo a bin" {
		t.Errorf("%+v", status)
	}
	c.fails(500, "Agent error: PID ld does not exist", "GET", agent+"/exec-status", "pid="+pid)
	c.ok(nil, "POST", agent+"/file-write", "file=/f", "content=text")
	var file struct{ Content string }
	if c.ok(&file, "GET", agent+"/file-read", "file=/f"); file.Content != "text" {
		t.Errorf("%+v", file)
	}
	c.fails(500, "Agent error: failed to open file '/nope' (mode: 'r'): No such file or directory", "GET", agent+"/file-read", "file=/nope")
	if a := c.fails(400, "Parameter verification failed.", "POST", agent+"/file-write", "file=/f", "content="+strings.Repeat("x", 61441)); a.Errors["content"] != "value may only be 61440 characters long" {
		t.Errorf("%v", a.Errors)
	}
	if a := c.send("POST", agent+"/fsfreeze-freeze"); a.status != 200 || !strings.Contains(string(a.body), "CommandNotFound") {
		t.Errorf("%s", a.body)
	}
	absent = true
	c.fails(500, "QEMU guest agent is not running", "POST", agent+"/ping")
}
