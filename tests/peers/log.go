// Reads a bundle's log with Go's own golang.org/x/mod/sumdb (note, tlog): no line of Orderly's code has a part in it.
//
//	log -vkey VKEY [-witness VKEY]... [-older FILE]... BUNDLE
//
// The keys are arguments, as an auditor has them from elsewhere. Each witness must have cosigned the head of the log, or a
// checkpoint that the head continues. Of everything it finds wrong it names the file, and exits 1.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type many []string

func (m *many) String() string     { return strings.Join(*m, " ") }
func (m *many) Set(s string) error { *m = append(*m, s); return nil }

// tiles reads tlog-tiles from a folder. sumdb calls a tile tile/8/L/N, C2SP tile/L/N; the bytes are the same.
type tiles struct {
	root string
	kept map[string][]byte
}

func (t *tiles) Height() int                     { return 8 }
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, ok := t.kept[path]
		if !ok {
			var err error
			if data, err = os.ReadFile(filepath.Join(t.root, path)); err != nil {
				return nil, err
			}
			if len(data) != tile.W*tlog.HashSize {
				return nil, fmt.Errorf("log/%s has %d bytes, not %d", path, len(data), tile.W*tlog.HashSize)
			}
			t.kept[path] = data
		}
		all = append(all, data)
	}
	return all, nil
}

// witness verifies cosignature/v1 lines (C2SP tlog-cosignature, type 0x04), which sumdb/note does not know by itself.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newWitness(vkey string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	hash, err := strconv.ParseUint(id, 16, 32)
	key, err2 := base64.StdEncoding.DecodeString(encoded)
	if err != nil || err2 != nil || len(key) != 33 || key[0] != 4 {
		return nil, fmt.Errorf("%q is no witness's key", vkey)
	}
	return &witness{name, uint32(hash), key[1:]}, nil
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(text, sig []byte) bool {
	if len(sig) != 8+64 {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), text)
	return ed25519.Verify(w.key, []byte(message), sig[8:])
}

// openCheckpoint also says who of the known signed it, by key.
func openCheckpoint(bytes []byte, known note.Verifiers, origin string) (tlog.Tree, map[uint32]bool, error) {
	opened, err := note.Open(bytes, known)
	if err != nil {
		return tlog.Tree{}, nil, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return tlog.Tree{}, nil, errors.New("is not a checkpoint of " + origin)
	}
	byLog, by := false, map[uint32]bool{}
	for _, sig := range opened.Sigs {
		byLog = byLog || sig.Name == origin
		by[sig.Hash] = true
	}
	if !byLog {
		return tlog.Tree{}, nil, errors.New("is not signed by the log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, by, err
}

// bundle is what is under examination.
type bundle struct {
	root   string
	origin string
	known  note.Verifiers
	head   tlog.Tree
	// Who signed it.
	signers map[uint32]bool
	hashes  tlog.HashReader
	faults  int
	// Leaf hashes by index, as the records themselves give them.
	leaves map[int64]tlog.Hash
	older  map[tlog.Tree]bool
	counts map[string]int
}

func (b *bundle) fault(file string, err error) {
	if err != nil {
		fmt.Printf("FAULT %s: %v\n", file, err)
		b.faults++
	}
}

// record takes in a record, wherever it lies.
func (b *bundle) record(file string, index int64, data []byte) {
	leaf := tlog.RecordHash(data)
	if before, ok := b.leaves[index]; ok && before != leaf {
		b.fault(file, fmt.Errorf("another record %d than elsewhere", index))
	}
	b.leaves[index] = leaf
	var envelope struct{ Payload []byte }
	var statement struct {
		Predicate struct {
			Checkpoint *struct {
				Size int64
				Root string
			}
		}
	}
	// What a record says of the log before it: an older checkpoint, which the head has to continue.
	if json.Unmarshal(data, &envelope) == nil && json.Unmarshal(envelope.Payload, &statement) == nil {
		if seen := statement.Predicate.Checkpoint; seen != nil {
			var root tlog.Hash
			if raw, err := hex.DecodeString(seen.Root); err == nil && copy(root[:], raw) == len(root) {
				b.older[tlog.Tree{N: seen.Size, Hash: root}] = true
			}
		}
	}
}

func (b *bundle) records() {
	files, _ := filepath.Glob(filepath.Join(b.root, "evidence", "*"))
	for _, path := range files {
		file := "evidence/" + filepath.Base(path)
		number, _, _ := strings.Cut(filepath.Base(path), "-")
		index, err := strconv.ParseInt(number, 10, 64)
		data, err2 := os.ReadFile(path)
		if err != nil || err2 != nil {
			b.fault(file, errors.New("is no record"))
			continue
		}
		b.record(file, index, data)
		b.counts["records"]++
	}
	// tile/entries: big-endian 16-bit lengths, each before its entry.
	for n := int64(0); n*256 < b.head.N; n++ {
		tile := tlog.Tile{H: 8, L: 0, N: n, W: int(min(256, b.head.N-n*256))}
		file := strings.Replace(tile.Path(), "tile/8/0/", "log/tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(b.root, file))
		if err != nil {
			continue
		}
		for i := 0; i < tile.W; i++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				b.fault(file, errors.New("is cut off"))
				break
			}
			length := 2 + int(binary.BigEndian.Uint16(data))
			b.record(file, n*256+int64(i), data[2:length])
			data = data[length:]
			b.counts["entries"]++
		}
		if len(data) > 0 {
			b.fault(file, errors.New("goes on after its entries"))
		}
	}
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

// inclusion proves every record from the tiles.
func (b *bundle) inclusion() {
	for index := int64(0); index < b.head.N; index++ {
		leaf, ok := b.leaves[index]
		if !ok {
			b.fault(fmt.Sprintf("record %d", index), errors.New("is not here"))
			continue
		}
		proof, err := tlog.ProveRecord(b.head.N, index, b.hashes)
		if err == nil {
			err = tlog.CheckRecord(proof, b.head.N, b.head.Hash, index, leaf)
		}
		if err != nil {
			b.fault(fmt.Sprintf("record %d", index), err)
			return
		}
		b.counts["inclusions"]++
	}
	for index := range b.leaves {
		if index >= b.head.N {
			b.fault(fmt.Sprintf("record %d", index), errors.New("is beyond the checkpoint"))
		}
	}
}

// proofs reads every .tlog-proof (C2SP tlog-proof) on its own.
func (b *bundle) proofs() {
	files, _ := filepath.Glob(filepath.Join(b.root, "proofs", "*.tlog-proof"))
	for _, path := range files {
		file := "proofs/" + filepath.Base(path)
		data, err := os.ReadFile(path)
		if err == nil {
			err = b.proof(data, filepath.Base(path))
		}
		b.fault(file, err)
		b.counts["proofs"]++
	}
}

func (b *bundle) proof(data []byte, name string) error {
	head, checkpoint, found := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return errors.New("is no tlog-proof")
	}
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	if err != nil || fmt.Sprintf("%08d.tlog-proof", index) != name {
		return errors.New("is of another record")
	}
	var hashes tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		hashes = append(hashes, hash)
	}
	tree, signers, err := openCheckpoint(checkpoint, b.known, b.origin)
	if err != nil {
		return err
	}
	if len(signers) < len(b.signers) {
		return errors.New("lacks signatures that the head has")
	}
	return tlog.CheckRecord(hashes, tree.N, tree.Hash, index, b.leaves[index])
}

// consistency: the head continues every older checkpoint that a record or a file names.
func (b *bundle) consistency() {
	for old := range b.older {
		if old.N == 0 {
			continue
		}
		proof, err := tlog.ProveTree(b.head.N, old.N, b.hashes)
		if err == nil {
			err = tlog.CheckTree(proof, b.head.N, b.head.Hash, old.N, old.Hash)
		}
		b.fault(fmt.Sprintf("checkpoint of size %d", old.N), err)
		b.counts["consistencies"]++
	}
}

// witnessed: each has cosigned the head, or lies apart with what it has cosigned last, which the head continues.
func (b *bundle) witnessed(witnesses []note.Verifier) {
	own := map[string]bool{}
	for _, one := range witnesses {
		file := fmt.Sprintf("log/cosigned/%08x", one.KeyHash())
		own[file] = true
		if b.signers[one.KeyHash()] {
			b.counts["cosignatures"]++
			continue
		}
		text, err := os.ReadFile(filepath.Join(b.root, file))
		if err != nil {
			b.fault(file, fmt.Errorf("%s has cosigned nothing here", one.Name()))
			continue
		}
		tree, signers, err := openCheckpoint(text, b.known, b.origin)
		if err == nil && !signers[one.KeyHash()] {
			err = errors.New("is not cosigned by " + one.Name())
		}
		b.fault(file, err)
		if err == nil {
			b.older[tree] = true
			b.counts["cosignatures"]++
		}
	}
	files, _ := filepath.Glob(filepath.Join(b.root, "log/cosigned", "*"))
	for _, path := range files {
		if file := "log/cosigned/" + filepath.Base(path); !own[file] {
			b.fault(file, errors.New("is of no witness that is known"))
		}
	}
}

func (b *bundle) papers(vkey string, witnesses []string) {
	text, err := os.ReadFile(filepath.Join(b.root, "log/vkey"))
	if err != nil || string(text) != vkey+"\n" {
		b.fault("log/vkey", errors.New("is another key than the one from elsewhere"))
	}
	policy, err := os.ReadFile(filepath.Join(b.root, "log/policy"))
	if err != nil || !strings.HasPrefix(string(policy), "log "+vkey+"\n") {
		b.fault("log/policy", errors.New("asks for another key than the one from elsewhere"))
	}
	for _, key := range witnesses {
		name, _, _ := strings.Cut(key, "+")
		if !strings.Contains(string(policy), "\nwitness "+name+" "+key+"\n") {
			b.fault("log/policy", errors.New("does not name the witness "+name))
		}
	}
}

func main() {
	var witnesses, olders many
	vkey := flag.String("vkey", "", "the log's key")
	flag.Var(&witnesses, "witness", "a witness's key, whose cosignature must be there")
	flag.Var(&olders, "older", "an older checkpoint, a signed note")
	flag.Parse()
	die := func(what string, err error) {
		if err != nil {
			fmt.Printf("FAULT %s: %v\n", what, err)
			os.Exit(1)
		}
	}
	log, err := note.NewVerifier(*vkey)
	die("-vkey", err)
	var watching []note.Verifier
	for _, key := range witnesses {
		verifier, err := newWitness(key)
		die("-witness", err)
		watching = append(watching, verifier)
	}
	list := append([]note.Verifier{log}, watching...)
	b := &bundle{
		root: flag.Arg(0), origin: log.Name(), known: note.VerifierList(list...),
		leaves: map[int64]tlog.Hash{}, older: map[tlog.Tree]bool{}, counts: map[string]int{},
	}
	text, err := os.ReadFile(filepath.Join(b.root, "log/checkpoint"))
	die("log/checkpoint", err)
	b.head, b.signers, err = openCheckpoint(text, b.known, b.origin)
	die("log/checkpoint", err)
	b.hashes = tlog.TileHashReader(b.head, &tiles{filepath.Join(b.root, "log"), map[string][]byte{}})
	root, err := tlog.TreeHash(b.head.N, b.hashes)
	die("log/tile", err)
	if root != b.head.Hash {
		die("log/tile", errors.New("have another root than the checkpoint"))
	}
	for _, path := range olders {
		text, err := os.ReadFile(path)
		die(path, err)
		old, _, err := openCheckpoint(text, b.known, b.origin)
		die(path, err)
		b.older[old] = true
	}
	b.papers(*vkey, witnesses)
	b.witnessed(watching)
	b.records()
	b.inclusion()
	b.proofs()
	b.consistency()
	fmt.Printf("%d records, %d entries, %d inclusions, %d proofs, %d consistencies, %d cosignatures, %d faults\n",
		b.counts["records"], b.counts["entries"], b.counts["inclusions"], b.counts["proofs"], b.counts["consistencies"],
		b.counts["cosignatures"], b.faults)
	if b.faults > 0 {
		os.Exit(1)
	}
}
