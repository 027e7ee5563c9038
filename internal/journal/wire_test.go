package journal

import (
	"reflect"
	"testing"
	"time"
)

// full has something in every field, so that a new field that the wire forgets
// is noticed.
func full(t *testing.T) Record {
	var r Record
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Interface().(type) {
		case string:
			f.SetString("text " + v.Type().Field(i).Name)
		case int, int64:
			f.SetInt(int64(-i))
		case uint64:
			f.SetUint(uint64(i) << 40)
		case *int, *int64, *float64:
			f.Set(reflect.New(f.Type().Elem())) // zero, and present
		case []int:
			f.Set(reflect.ValueOf([]int{1, -2, 1 << 40}))
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
		default:
			t.Fatalf("the wire does not know what %s is", v.Type().Field(i).Name)
		}
	}
	return r
}

func TestRecordsCrossALinkUnchanged(t *testing.T) {
	delay, status := 1.25, -7
	sent := []Record{full(t), {}, {Event: Exit, Delay: &delay, Status: &status}}
	got, err := ReadRecords(AppendRecords(nil, sent))
	if err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("%v: got\n%+v\nwant\n%+v", err, got, sent)
	}
	if got, err := ReadRecords(AppendRecords(nil, nil)); err != nil || len(got) != 0 {
		t.Errorf("no records are %+v, %v", got, err)
	}
}

func TestRecordsThatAreCutOffAreRefused(t *testing.T) {
	whole := AppendRecords(nil, []Record{full(t), full(t)})
	for n := range whole {
		if _, err := ReadRecords(whole[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken for records", n, len(whole))
		}
	}
	if _, err := ReadRecords(append(whole, 0)); err == nil {
		t.Error("a byte too much was taken for records")
	}
}

func FuzzReadRecords(f *testing.F) {
	f.Add(AppendRecords(nil, []Record{{Event: Spawn, Path: "/a", Pids: []int{1}}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := ReadRecords(b)
		if err != nil {
			return
		}
		again, err := ReadRecords(AppendRecords(nil, records))
		if err != nil || len(again) != len(records) {
			t.Fatalf("%v: %d records were written and %d read", err, len(records), len(again))
		}
	})
}

func BenchmarkReadRecords(b *testing.B) {
	records := make([]Record, 64)
	for i := range records {
		records[i] = Record{Time: time.Now(), Event: Spawn, Path: "/web/worker-17", Kind: "worker", Pid: 12345, Incarnation: 3}
	}
	wire := AppendRecords(nil, records)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadRecords(wire); err != nil {
			b.Fatal(err)
		}
	}
}
