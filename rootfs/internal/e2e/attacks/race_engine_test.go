package attacks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

// race is one attack that is run many times: each round sets up a container on a thread of its own (nstest.Thread), while
// another process swaps paths.
type race struct {
	Config  []byte
	Options []byte
	Rounds  int
	Console bool
	Root    string
	Outside string // a directory of the host that must stay as it is
	Remove  []made // removed before each round
	Check   string // a name of checks, called inside at the end of a round
}

// made is what a round makes in a directory. The directory is held by descriptor: its path is the attacker's.
type made struct {
	Dir, Name string
	fd        int
}

// swap is what the attacker exchanges: two names of one directory.
type swap struct{ dir, a, b string }

// outcome adds up the rounds of a race.
type outcome struct {
	Done    int            // set-up succeeded
	Refused map[string]int // set-up failed, by the call that did
	Wins    int            // the attacker reached the host, or stripped a protection
	Won     []string       // what the first of them were
	FDs     int            // descriptors open at the end, less those at the beginning
}

// checks look at a container inside, after rootfs_finalize: what they return is an attacker's win.
var checks = map[string]func() string{}

var runRace = nstest.Define("attacks.race", func(in race) (o outcome, err error) {
	o.Refused = map[string]int{}
	config, err := rootfs.Parse(in.Config, in.Options)
	if err != nil {
		return o, err
	}
	plan, err := rootfs.NewPlan(config)
	if err != nil {
		return o, err
	}
	before, err := hostState(in.Outside)
	if err != nil {
		return o, err
	}
	for i := range in.Remove {
		in.Remove[i].fd = 5 + i
	}
	var open int
	win := func(what string) {
		if o.Wins++; len(o.Won) < 5 {
			o.Won = append(o.Won, what)
		}
	}
	lookOutside := func() {
		if after, err := hostState(in.Outside); err != nil || !slices.Equal(before, after) {
			win(fmt.Sprintf("host: %q, %v", after, err))
			restore(in.Outside)
		}
	}
	err = nstest.Rounds(in.Rounds, func(round int) (bool, error) {
		lookOutside() // of the round before, which left this thread in the container's root
		for _, m := range in.Remove {
			os.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", m.fd, m.Name))
		}
		won, err := in.round(plan)
		if len(won) > 0 {
			win(won[0])
		}
		var e *rootfs.Error
		switch {
		case err == nil:
			o.Done++
		case errors.As(err, &e) && e.Code != errs.Internal:
			o.Refused[fmt.Sprintf("%s: %v (code %d)", e.Op, e.Errno, e.Code)]++
		default:
			return true, err
		}
		if round != 0 && round != in.Rounds-1 {
			return false, nil
		}
		fds, err := nstest.Descriptors()
		if round == 0 {
			open = len(fds)
		}
		o.FDs = len(fds) - open
		return false, err
	})
	lookOutside()
	return o, err
})

func (in *race) round(plan *rootfs.Plan) (won []string, err error) {
	watch, err := e2e.WatchOutside(in.Root, "")
	if err != nil {
		return nil, err
	}
	looked := false
	ready := func() error { looked = true; won = append(won, watch()...); return nil }
	prepared, err := rootfs.Prepare(plan, &rootfs.Host{MountsReady: ready})
	if err != nil {
		if !looked { // a set-up that failed may have mounted where it should not
			won = append(won, watch()...)
		}
		return won, err
	}
	if in.Console {
		master, err := prepared.Console(rootfs.Terminal{Rows: 24, Columns: 80, UID: 1})
		if err != nil {
			prepared.Finalize() // gives its descriptors back
			return won, err
		}
		unix.Close(master)
	}
	if err := prepared.Finalize(); err != nil {
		return won, err
	}
	if in.Check != "" {
		if what := checks[in.Check](); what != "" {
			won = append(won, what)
		}
	}
	return won, nil
}

// restore puts the host's directory back as newTrap makes it, so that each win counts once.
func restore(outside string) {
	for _, name := range []string{"sentinel", "ptmx", "null", "console", "dir/sentinel", "dir/ptmx"} {
		path := filepath.Join(outside, name)
		os.RemoveAll(path)
		os.WriteFile(path, []byte("host"), 0o644)
		os.Chmod(path, 0o644)
		os.Chown(path, 0, 0)
	}
	entries, _ := os.ReadDir(outside)
	for _, e := range entries {
		if !slices.Contains([]string{"sentinel", "ptmx", "null", "console", "dir", "pts"}, e.Name()) {
			os.RemoveAll(filepath.Join(outside, e.Name()))
		}
	}
	for _, dir := range []string{"dir", "pts"} {
		entries, _ := os.ReadDir(filepath.Join(outside, dir))
		for _, e := range entries {
			if e.Name() != "sentinel" && e.Name() != "ptmx" {
				os.RemoveAll(filepath.Join(outside, dir, e.Name()))
			}
		}
	}
}

// attacker exchanges two names of each directory (descriptors 7, 8, ...) until descriptor 5 ends, and counts. It closes descriptor 6
// once it is at it.
var attacker = nstest.Define("attacks.attacker", func(names [][2]string) (int, error) {
	if err := unix.SetNonblock(5, true); err != nil {
		return 0, err
	}
	buf := make([]byte, 1)
	for n := 0; ; n++ {
		for i, pair := range names {
			if err := unix.Renameat2(7+i, pair[0], 7+i, pair[1], unix.RENAME_EXCHANGE); err != nil && err != unix.ENOENT && err != unix.EBUSY {
				return n, err
			}
		}
		if n == 0 {
			unix.Close(6)
		}
		// Bursts, with pauses that leave the processor to the victim: what is swapped while nobody looks wins nothing.
		if n%17 == 0 { // odd: each pause finds the names the other way round
			if k, err := unix.Read(5, buf); k == 0 && err == nil {
				return n, nil
			}
			time.Sleep(20 * time.Microsecond)
		}
	}
})

// variants is how many races one row consists of: together they are the rounds of the row.
func (x *trap) variants(n int) *trap {
	x.share = n
	return x
}

// race runs an attack and demands that the attacker wins no round.
func (x *trap) race(in race, c nstest.Config, swaps ...swap) {
	x.t.Helper()
	in.Config, in.Root, in.Outside = c.JSON(), x.rootfs, x.outside
	in.Rounds = (rounds(x.t) + max(x.share, 1) - 1) / max(x.share, 1)
	stop, hold, err := os.Pipe()
	if err != nil {
		x.t.Fatal(err)
	}
	defer stop.Close()
	begun, ready, err := os.Pipe()
	if err != nil {
		x.t.Fatal(err)
	}
	defer begun.Close()
	files := []*os.File{stop, ready}
	var names [][2]string
	for _, s := range swaps {
		dir, err := os.Open(s.dir)
		if err != nil {
			x.t.Fatal(err)
		}
		defer dir.Close()
		files = append(files, dir)
		names = append(names, [2]string{s.a, s.b})
	}
	var held []*os.File
	for _, m := range in.Remove {
		dir, err := os.Open(m.Dir)
		if err != nil {
			x.t.Fatal(err)
		}
		defer dir.Close()
		held = append(held, dir)
	}
	limit := time.Minute + time.Duration(in.Rounds)*50*time.Millisecond
	enemy := attacker.Start(x.t, nstest.Spec{Files: files, Timeout: limit + time.Minute}, names)
	ready.Close()
	begun.Read(make([]byte, 1)) // its end says that the attacker is at it, or has failed, which is told below
	begin := time.Now()
	o, err := runRace.Run(x.t, nstest.Spec{Namespaces: nstest.Container &^ nstest.PID, Deny: x.p.deny, Timeout: limit, Files: held}, in)
	took := time.Since(begin)
	hold.Close()
	swapped, attackErr := enemy.Wait()
	if err != nil || attackErr != nil {
		x.t.Fatalf("the race could not be run: %v, attacker: %v; so far %+v", err, attackErr, o)
	}
	refused := 0
	for _, n := range o.Refused {
		refused += n
	}
	x.t.Logf("RACE rounds=%d done=%d refused=%d wins=%d swaps=%d ms=%d %v", in.Rounds, o.Done, refused, o.Wins, swapped,
		took.Milliseconds(), o.Refused)
	if o.Wins > 0 {
		x.t.Errorf("ATTACK WON %d of %d rounds: %s", o.Wins, in.Rounds, strings.Join(o.Won, "; "))
	}
	if o.Done+refused != in.Rounds {
		x.t.Errorf("%d rounds are missing", in.Rounds-o.Done-refused)
	}
	if o.FDs > 0 {
		x.t.Errorf("%d descriptors were left open", o.FDs)
	}
	if swapped < in.Rounds {
		x.t.Errorf("the attacker swapped only %d times: this was no race", swapped)
	}
}
