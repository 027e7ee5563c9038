package tree

import "math"

// CheckError is what OTP's validation says of a spec, in the words of its
// start errors: "supervisor_data:invalid_period", "start_spec:missing_id", ….
type CheckError string

func (e CheckError) Error() string { return string(e) }

// Check validates a supervisor's spec in OTP's order (SEMANTICS CFG-2 to
// CFG-6): the flags, then all child specs; the first error wins and is a
// CheckError. New takes no other spec.
func Check(spec Spec) error {
	if flaw := checkFlags(spec); flaw != "" {
		return CheckError("supervisor_data:" + flaw)
	}
	if spec.Strategy == SimpleOneForOne && len(spec.Children) != 1 {
		return CheckError("bad_start_spec")
	}
	if err := CheckChildren(spec.Children, spec.AutoShutdown); err != nil {
		return CheckError("start_spec:" + err.Error())
	}
	return nil
}

// AutoShutdownUnknown stands for the auto_shutdown of check_childspecs/1: the
// combination with significant is not looked at.
const AutoShutdownUnknown AutoShutdown = math.MaxUint8

// CheckChildren validates child specs one after another, as
// check_childspecs does. A nil error means that all are good.
func CheckChildren(specs []ChildSpec, auto AutoShutdown) error {
	seen := make(map[string]bool, len(specs))
	for i := range specs {
		if err := CheckChild(&specs[i], auto); err != nil {
			return err
		}
		if seen[specs[i].ID] {
			return CheckError("duplicate_child_name:" + specs[i].ID)
		}
		seen[specs[i].ID] = true
	}
	return nil
}

// CheckChild validates one child spec under a supervisor's auto_shutdown. The
// error is a CheckError, as start_child answers it.
func CheckChild(spec *ChildSpec, auto AutoShutdown) error {
	switch {
	case spec.ID == "":
		return CheckError("missing_id")
	case spec.Flaw == FlawNoStart:
		return CheckError(FlawNoStart)
	case int(spec.Restart) >= len(restartWords):
		return CheckError("invalid_restart_type")
	case spec.Flaw != "":
		return CheckError(spec.Flaw)
	case spec.Significant && auto == Never:
		return CheckError("bad_combination:auto_shutdown,significant")
	case spec.Significant && spec.Restart == Permanent:
		return CheckError("bad_combination:restart,significant")
	case int(spec.Kind) >= len(kindWords):
		return CheckError("invalid_child_type")
	case int(spec.Shutdown.Mode) >= len(stopModeWords), spec.Shutdown.Time < 0:
		return CheckError("invalid_shutdown")
	}
	return nil
}

func checkFlags(spec Spec) string {
	switch {
	case int(spec.Strategy) >= len(strategyWords):
		return "invalid_strategy"
	case spec.Intensity < Unlimited:
		return "invalid_intensity"
	case spec.Period <= 0:
		return "invalid_period"
	case int(spec.AutoShutdown) >= len(autoShutdownWords):
		return "invalid_auto_shutdown"
	}
	return ""
}
