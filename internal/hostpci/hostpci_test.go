package hostpci

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValuesOfProxmoxAreRead(t *testing.T) {
	one := Address{Bus: 1, Function: 0}
	for text, want := range map[string]Device{
		"01:00.0":                         {Addresses: []Address{one}},
		"0000:01:00.0":                    {Addresses: []Address{one}},
		"host=0000:01:00.0":               {Addresses: []Address{one}},
		"0000:01:00":                      {Addresses: []Address{{Bus: 1, Function: AllFunctions}}},
		"10000:E1:1f.7":                   {Addresses: []Address{{Domain: 0x10000, Bus: 0xe1, Slot: 0x1f, Function: 7}}},
		"01:00.0;01:00.1,pcie=1,rombar=0": {Addresses: []Address{one, {Bus: 1, Function: 1}}, Options: []Option{{"pcie", "1"}, {"rombar", "0"}}},
		"mapping=gpu,pcie=1":              {Mapping: "gpu", Options: []Option{{"pcie", "1"}}},
		"pcie=1,host=01:00.0":             {Addresses: []Address{one}, Options: []Option{{"pcie", "1"}}},
	} {
		got, err := Parse(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestOtherValuesAreRefused(t *testing.T) {
	for text, why := range map[string]string{
		"": "address", "01:00.8": "address", "01:20.0": "address", "1:00.0": "address", "0000:01:00.0.0": "address",
		"0000:01:00.0 ": "address", "01:00.0;": "address", "01:00.0;01:00.0": "twice", "01:00.0,vfio=1": "option",
		"01:00.0,pcie": "value", "01:00.0,romfile=../x": "value", "pcie=1": "no PCI device", "01:00.0,mapping=gpu": "no PCI device",
		"../../etc": "address", strings.Repeat("0", 500) + ":01:00.0": "address",
	} {
		if d, err := Parse(text); err == nil || !strings.Contains(err.Error(), why) || len(err.Error()) > 300 {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
}

func TestAnAddressWithoutFunctionCoversAll(t *testing.T) {
	all, one, other := Address{Bus: 1, Function: AllFunctions}, Address{Bus: 1, Function: 3}, Address{Bus: 2, Function: 3}
	if !all.Covers(one) || all.Covers(other) || !one.Covers(one) || one.Covers(Address{Bus: 1}) {
		t.Error("a device covers its functions, a function only itself")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0000:01:00.0;01:00.1,pcie=1", "mapping=gpu", "host=01:00", "01:00.0,rombar=off"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		for _, a := range d.Addresses { // what is written again means the same
			if again, err := ParseAddress(a.String()); err != nil || again != a {
				t.Errorf("%q: %v is read back as %v, %v", text, a, again, err)
			}
		}
	})
}
