package api

// Severity ranks a finding.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // it cannot work
	SeverityWarning Severity = "warning" // it works, worse
	SeverityInfo    Severity = "info"
)

// Finding is one thing that is wrong, and the command that fixes it.
type Finding struct {
	// Area is what it is about: "qemu", "ssh", a backend's name...
	Area string `json:"area"`
	// Code is a dotted word.
	Code string `json:"code"`
	// Severity is "error", "warning" or "info".
	Severity Severity `json:"severity"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Fix is a command or a sentence.
	Fix string `json:"fix,omitempty"`
}

// DoctorResult is the doctor's report.
type DoctorResult struct {
	// Findings, worst first; none = all is well.
	Findings []Finding `json:"findings"`
}
