package pvesim

import (
	"errors"
	"strings"
)

// parse reads a property string such as "virtio=BC:24:11:94:12:47,bridge=vmbr0"
// by the dictionary of that name. The texts of its errors are those of
// PVE::JSONSchema (source), except where one is recorded.
func (s *schema) parse(dictionary, name, text string) (map[string]string, error) {
	members := s.Dictionaries[dictionary]
	found := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			if key = defaultKey(members); key == "" {
				return nil, errors.New("value without key, but schema does not define a default key")
			}
			if _, twice := found[key]; twice {
				return nil, errors.New("duplicate key in comma-separated list property: " + key)
			}
			found[key] = part
			continue
		}
		member := members[key]
		if member != nil && member.Alias != "" {
			// net0's virtio=MAC is model=virtio,macaddr=MAC.
			if member.KeyAlias != "" {
				found[member.KeyAlias] = key
			}
			key = member.Alias
		}
		if _, twice := found[key]; twice {
			return nil, errors.New("duplicate key in comma-separated list property: " + key)
		}
		found[key] = value
	}
	return found, s.checkMembers(members, name, found)
}

func (s *schema) checkMembers(members map[string]*property, name string, found map[string]string) error {
	var wrong []string
	for _, key := range sortedKeys(found) {
		member := members[key]
		if member == nil {
			wrong = append(wrong, name+"."+key+": "+undefined)
			continue
		}
		normal, message := s.check(member, key, found[key])
		if message != "" {
			wrong = append(wrong, name+"."+key+": "+strings.TrimSuffix(message, "\n"))
		}
		found[key] = normal
	}
	for _, key := range sortedKeys(members) {
		member := members[key]
		if _, ok := found[key]; !ok && !member.Optional && member.Alias == "" && member.KeyAlias == "" {
			wrong = append(wrong, name+"."+key+": "+missing)
		}
	}
	if len(wrong) > 0 {
		return errors.New("format error\n" + strings.Join(wrong, "\n")) // recorded 34
	}
	return nil
}

func defaultKey(members map[string]*property) string {
	for key, member := range members {
		if member.DefaultKey {
			return key
		}
	}
	return ""
}
