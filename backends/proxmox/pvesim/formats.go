package pvesim

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var (
	configID  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]+$`)
	dnsLabel  = `[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`
	dnsName   = regexp.MustCompile(`^(` + dnsLabel + `\.)*` + dnsLabel + `$`)
	nodeName  = regexp.MustCompile(`^` + dnsLabel + `$`)
	storageID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]$`)
	volumeID  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]:\S+$`)
	macAddr   = regexp.MustCompile(`^[0-9A-Fa-f][02468aceACE]:([0-9A-Fa-f]{2}:){4}[0-9A-Fa-f]{2}$`)
	tagName   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*$`)
	iface     = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?$`)
	diskSize  = regexp.MustCompile(`^(\d+(\.\d+)?)([KMGT])?$`)
	aliasName = regexp.MustCompile(`^(dc/|guest/)?[A-Za-z][A-Za-z0-9\-_]+$`)
	portName  = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	bootOrder = regexp.MustCompile(`^(legacy=)?[acdn]{1,4}$|^order=([a-z]+\d+(;[a-z]+\d+)*)?$`)
)

// A formatRule is a pattern or a function, and the text for what does not fit;
// %s is the value.
type formatRule struct {
	pattern *regexp.Regexp
	fits    func(value string) bool
	text    string
}

// formatRules are named formats, which are Perl code on a real server and not
// part of the schema. The texts are from PVE::JSONSchema and its users (source);
// those of a configuration ID and of a DNS name are recorded (97, 36).
var formatRules = map[string]formatRule{
	"dns-name":       {pattern: dnsName, text: "value does not look like a valid DNS name"},
	"pve-configid":   {pattern: configID, text: "invalid configuration ID '%s'"},
	"pve-vmid":       {fits: isVMID, text: "value does not look like a valid VM ID"},
	"pve-node":       {pattern: nodeName, text: "value does not look like a valid node name"},
	"pve-storage-id": {pattern: storageID, text: "storage ID '%s' contains illegal characters"},
	"pve-volume-id":  {pattern: volumeID, text: "unable to parse volume ID '%s'"},
	"pve-volume-id-or-qm-path": {fits: func(value string) bool {
		return value == "none" || value == "cdrom" || strings.HasPrefix(value, "/") || volumeID.MatchString(value)
	}, text: "unable to parse volume ID '%s'"},
	"pve-volume-id-or-absolute-path": {fits: func(value string) bool {
		return strings.HasPrefix(value, "/") || volumeID.MatchString(value)
	}, text: "unable to parse volume ID '%s'"},
	"mac-addr":        {pattern: macAddr, text: "value does not look like a valid unicast MAC address"},
	"pve-tag":         {pattern: tagName, text: "invalid characters in tag"},
	"pve-iface":       {pattern: iface, text: "invalid network interface name '%s'"},
	"pve-bridge-id":   {pattern: iface, text: "invalid network interface name '%s'"},
	"disk-size":       {pattern: diskSize, text: "unable to parse disk size '%s'"},
	"pve-qm-boot":     {pattern: bootOrder, text: "invalid boot order '%s'"},
	"CIDR":            {fits: isAddress, text: notAddress},
	"IPorCIDR":        {fits: isAddress, text: notAddress},
	"IPorCIDRorAlias": {fits: func(value string) bool { return isAddress(value) || aliasName.MatchString(value) }, text: notAddress},
}

const notAddress = "value does not look like a valid IP address or CIDR network"

// checkFormat checks a named format; one that is not known here accepts everything.
func checkFormat(format, value string) error {
	switch format {
	case "pve-configid-list":
		return each(value, "pve-configid")
	case "pve-tag-list":
		return each(value, "pve-tag")
	}
	rule, ok := formatRules[format]
	if !ok {
		return checkFirewallFormat(format, value)
	}
	if rule.pattern != nil && rule.pattern.MatchString(value) || rule.fits != nil && rule.fits(value) {
		return nil
	}
	return errors.New(strings.ReplaceAll(rule.text, "%s", value))
}

func isVMID(value string) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n >= 100 && n <= 999999999 && value[0] != '0'
}

// checkFirewallFormat checks those of firewall rules.
func checkFirewallFormat(format, value string) error {
	switch format {
	case "pve-fw-addr-spec":
		for _, part := range strings.Split(value, ",") {
			if !strings.HasPrefix(part, "+") && !isAddress(part) && !isRange(part) && !configID.MatchString(part) {
				return fmt.Errorf("invalid IP address: %s", part)
			}
		}
	case "pve-fw-dport-spec", "pve-fw-sport-spec":
		for _, part := range strings.Split(value, ",") {
			if !isPorts(part) {
				return fmt.Errorf("invalid port '%s'", part)
			}
		}
	}
	return nil
}

func isAddress(value string) bool {
	if _, err := netip.ParsePrefix(value); err == nil {
		return true
	}
	_, err := netip.ParseAddr(value)
	return err == nil
}

func isRange(value string) bool {
	first, last, ok := strings.Cut(value, "-")
	return ok && isAddress(first) && isAddress(last)
}

func isPorts(value string) bool {
	for _, port := range strings.SplitN(value, ":", 2) {
		if n, err := strconv.Atoi(port); (err != nil || n < 0 || n > 65535) && !portName.MatchString(port) {
			return false
		}
	}
	return true
}

// each checks the elements of a list, which commas, semicolons, blanks and NUL
// separate.
func each(list, format string) error {
	for _, element := range splitList(list) {
		if err := checkFormat(format, element); err != nil {
			return err
		}
	}
	return nil
}

func splitList(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(",; \x00\t\n", r) })
}
