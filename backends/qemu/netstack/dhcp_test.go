package netstack

import (
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var guestMAC = net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}

func TestDHCPGivesTheOneAddress(t *testing.T) {
	tests := map[string]struct {
		modify []dhcpv4.Modifier
		want   dhcpv4.MessageType // none = no answer
		ip     string
	}{
		"discover": {[]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover)}, dhcpv4.MessageTypeOffer, "10.0.2.15"},
		"request": {
			[]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 0, 2, 15)))},
			dhcpv4.MessageTypeAck, "10.0.2.15",
		},
		"request of an old address": {
			[]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 168, 1, 7)))},
			dhcpv4.MessageTypeNak, "0.0.0.0",
		},
		"inform":  {[]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeInform)}, dhcpv4.MessageTypeAck, "0.0.0.0"},
		"release": {[]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease)}, dhcpv4.MessageTypeNone, ""},
		"an answer": {
			[]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootReply }},
			dhcpv4.MessageTypeNone, "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := dhcpv4.New(append(test.modify, dhcpv4.WithHwAddr(guestMAC))...)
			if err != nil {
				t.Fatal(err)
			}
			text := answerDHCP(m.ToBytes())
			if test.want == dhcpv4.MessageTypeNone {
				if text != nil {
					t.Errorf("answered by %x", text)
				}
				return
			}
			got, err := dhcpv4.FromBytes(text)
			if err != nil {
				t.Fatal(err)
			}
			if got.MessageType() != test.want || got.YourIPAddr.String() != test.ip || got.TransactionID != m.TransactionID || got.ClientHWAddr.String() != guestMAC.String() {
				t.Errorf("%s", got.Summary())
			}
			if test.want != dhcpv4.MessageTypeNak && (got.Router()[0].String() != "10.0.2.2" || got.DNS()[0].String() != "10.0.2.3" || got.SubnetMask().String() != "ffffff00") {
				t.Errorf("%s", got.Summary())
			}
		})
	}
}

// FuzzDHCP: for any input from root in the guest, the process lives.
func FuzzDHCP(f *testing.F) {
	m, err := dhcpv4.NewDiscovery(guestMAC)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		if answer := answerDHCP(message); answer != nil {
			if _, err := dhcpv4.FromBytes(answer); err != nil {
				t.Errorf("an answer that cannot be read: %v", err)
			}
		}
	})
}
