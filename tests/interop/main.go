// Checks a journal of lapsed with nothing but golang.org/x/mod/sumdb/note and tlog, the code behind Go's checksum database.
//
//	interop log VKEYS FOLDER [CHECKPOINT]...   the log in FOLDER: its checkpoint's signatures, that each line is in it, that it
//	                                           goes on from each older CHECKPOINT, and every checkpoint entry
//	interop proof VKEYS FILE                   both tlog-proofs in a proof that "lapsectl journal prove" wrote
//
// Prints what it checked as a JSON object; exits 1 with what is wrong.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A checkpoint (C2SP tlog-checkpoint) whose signatures hold.
type checkpoint struct {
	origin  string
	tree    tlog.Tree
	signers int
}

func open(text []byte, keys note.Verifiers) (*checkpoint, error) {
	opened, err := note.Open(text, keys)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return nil, fmt.Errorf("the note has %d lines", len(lines)-1)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	return &checkpoint{lines[0], tlog.Tree{N: size, Hash: root}, len(opened.Sigs)}, err
}

func readKeys(file string) (note.Verifiers, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var keys []note.Verifier
	for _, line := range strings.Fields(string(text)) {
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return note.VerifierList(keys...), nil
}

// The lines of the log and the hashes of its tree; entries before `first` were pruned.
type log struct {
	first  int64
	lines  [][]byte
	hashes map[int64]tlog.Hash
}

func (l *log) size() int64 { return l.first + int64(len(l.lines)) }

func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		hash, there := l.hashes[index]
		if !there {
			return nil, fmt.Errorf("the hash %d is not there any more", index)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

type entry struct {
	Seq        int64
	Event      string
	Frontier   []string
	Origin     string
	Size       int64
	Root       string
	Signatures []string
}

// The frontier of a pruned log's first entry stands for what came before it.
func (l *log) begin(first *entry) error {
	l.first = first.Seq - 1
	next := 0
	for level, left := 62, l.first; level >= 0; level-- {
		if l.first>>level&1 == 0 {
			continue
		}
		if next == len(first.Frontier) {
			return errors.New("the frontier is too short")
		}
		hash, err := hex.DecodeString(first.Frontier[next])
		if err != nil || len(hash) != tlog.HashSize {
			return errors.New("the frontier holds no hash")
		}
		l.hashes[tlog.StoredHashIndex(level, (l.first-left)>>level)] = tlog.Hash(*(*[tlog.HashSize]byte)(hash))
		left -= 1 << level
		next++
	}
	if next != len(first.Frontier) {
		return errors.New("the frontier is too long")
	}
	return nil
}

func (l *log) add(line []byte) error {
	n := l.size()
	hashes, err := tlog.StoredHashes(n, line, l)
	if err != nil {
		return err
	}
	for i, hash := range hashes {
		l.hashes[tlog.StoredHashIndex(i, n>>uint(i))] = hash
	}
	l.lines = append(l.lines, line)
	return nil
}

func readLog(folder string, seen func(*log, *entry) error) (*log, error) {
	files, err := filepath.Glob(filepath.Join(folder, "journal-*.jsonl"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	l := &log{hashes: map[int64]tlog.Hash{}}
	for _, file := range append(files, filepath.Join(folder, "journal.jsonl")) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := bytes.Split(text, []byte("\n"))
		for _, line := range lines[:len(lines)-1] {
			var e entry
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			if l.first == 0 && l.lines == nil {
				if err := l.begin(&e); err != nil {
					return nil, err
				}
			}
			if err := seen(l, &e); err != nil {
				return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
			}
			if err := l.add(line); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

func checkInclusion(l *log, tree tlog.Tree, n int64) error {
	proof, err := tlog.ProveRecord(tree.N, n, l)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, n, tlog.RecordHash(l.lines[n-l.first]))
}

func checkConsistency(l *log, tree tlog.Tree, older tlog.Tree) error {
	proof, err := tlog.ProveTree(tree.N, older.N, l)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash)
}

func checkLog(keys note.Verifiers, folder string, older []string) (map[string]interface{}, error) {
	entries := 0
	l, err := readLog(folder, func(l *log, e *entry) error {
		if e.Event != "checkpoint" {
			return nil
		}
		text := fmt.Sprintf("%s\n%d\n%s\n\n%s\n", e.Origin, e.Size, e.Root, strings.Join(e.Signatures, "\n"))
		head, err := open([]byte(text), keys)
		if err != nil {
			return err
		}
		root, err := tlog.TreeHash(l.size(), l)
		if err != nil {
			return err
		}
		if head.tree != (tlog.Tree{N: l.size(), Hash: root}) {
			return errors.New("the checkpoint entry is not of the entries before it")
		}
		entries++
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return nil, err
	}
	head, err := open(text, keys)
	if err != nil {
		return nil, err
	}
	for n := l.first; n < head.tree.N; n++ {
		if err := checkInclusion(l, head.tree, n); err != nil {
			return nil, fmt.Errorf("entry %d: %w", n+1, err)
		}
	}
	for _, file := range older {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		old, err := open(text, keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := checkConsistency(l, head.tree, old.tree); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return map[string]interface{}{"origin": head.origin, "size": head.tree.N, "first": l.first, "included": head.tree.N - l.first,
		"signers": head.signers, "older": len(older), "checkpoint_entries": entries}, nil
}

// One proof in the C2SP tlog-proof format, of this line.
func checkTlogProof(keys note.Verifiers, text string, line string) error {
	before, after, found := strings.Cut(text, "\n\n")
	lines := strings.Split(before, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return errors.New("this is no tlog-proof")
	}
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, text := range lines[2:] {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	head, err := open([]byte(after), keys)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, head.tree.N, head.tree.Hash, index, tlog.RecordHash([]byte(line)))
}

func checkProof(keys note.Verifiers, file string) (map[string]interface{}, error) {
	bytes, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	head, rest, found := strings.Cut(string(bytes), "tlog-proof intent\n")
	ofIntent, ofOutcome, also := strings.Cut(rest, "tlog-proof outcome\n")
	if !found || !also {
		return nil, errors.New("there are no tlog-proofs in it")
	}
	lines := strings.Split(head, "\n")
	if len(lines) < 5 {
		return nil, errors.New("it has no entries")
	}
	intent, outcome := lines[len(lines)-4], lines[len(lines)-2]
	if err := checkTlogProof(keys, ofIntent, intent); err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	if err := checkTlogProof(keys, ofOutcome, outcome); err != nil {
		return nil, fmt.Errorf("outcome: %w", err)
	}
	return map[string]interface{}{"proofs": 2}, nil
}

func run(arguments []string) (map[string]interface{}, error) {
	if len(arguments) < 3 {
		return nil, errors.New("usage: interop log VKEYS FOLDER [CHECKPOINT]... | interop proof VKEYS FILE")
	}
	keys, err := readKeys(arguments[1])
	if err != nil {
		return nil, err
	}
	if arguments[0] == "proof" {
		return checkProof(keys, arguments[2])
	}
	return checkLog(keys, arguments[2], arguments[3:])
}

func main() {
	checked, err := run(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(checked)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}
