package api

// Severity ranks a finding.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // it cannot work
	SeverityWarning Severity = "warning" // it works, worse
	SeverityInfo    Severity = "info"
)

// Finding is one problem, and the command that fixes it.
type Finding struct {
	// Area that it concerns: "qemu", "ssh", the name of a backend...
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
	// Findings, worst first; none = no problems.
	Findings []Finding `json:"findings"`
}
