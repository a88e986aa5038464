// Makes the vectors beside it, with an implementation that is not ours: golang.org/x/mod/sumdb/{note,tlog}.
// Debian: apt-get install golang-go golang-golang-x-mod-dev (Go 1.19, x/mod 0.7.0), then, in this directory:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run make_vectors.go
//
// The entries of every tree are "entry 0", "entry 1", and so on. Secret keys are fixed: nothing here is secret.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "evidence.example.com/0192f0c1-7a3e-7c11-9d7a-0b1f2e3d4c5b"

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func write(name, text string) { check(os.WriteFile(name, []byte(text), 0o644)) }

func signer(name string, seed byte) (note.Signer, string) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	vkey, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	check(err)
	id := strings.Split(vkey, "+")[1]
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, id, secret))
	check(err)
	return s, vkey
}

func hashes(list []tlog.Hash) string {
	var text strings.Builder
	for _, h := range list {
		text.WriteString(" " + h.String())
	}
	return text.String()
}

func main() {
	// A tree of 70,000 entries.
	const most = 70000
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, stored[i])
		}
		return found, nil
	})
	for n := int64(0); n < most; n++ {
		more, err := tlog.StoredHashes(n, []byte(fmt.Sprintf("entry %d", n)), reader)
		check(err)
		stored = append(stored, more...)
	}

	// Proofs: "root SIZE HASH", "inclusion INDEX SIZE HASH..." and "consistency OLD NEW HASH...".
	var proofs strings.Builder
	for _, size := range []int64{1, 2, 3, 5, 8, 13, 256, 257, 1000, 65537, most} {
		root, err := tlog.TreeHash(size, reader)
		check(err)
		fmt.Fprintf(&proofs, "root %d %s\n", size, root)
		last := int64(-1)
		for _, index := range []int64{0, size / 2, size - 1} {
			if index > last {
				proof, err := tlog.ProveRecord(size, index, reader)
				check(err)
				fmt.Fprintf(&proofs, "inclusion %d %d%s\n", index, size, hashes(proof))
				last = index
			}
		}
		last = 0
		for _, old := range []int64{1, 2, size / 3, size / 2, size - 1, size} {
			if old > last && old <= size {
				proof, err := tlog.ProveTree(size, old, reader)
				check(err)
				fmt.Fprintf(&proofs, "consistency %d %d%s\n", old, size, hashes(proof))
				last = old
			}
		}
	}
	write("proofs.txt", proofs.String())

	// Tiles: "PATH DIGEST", the digest being the first 8 bytes of the SHA-256 of the tile's content. x/mod's paths
	// have the tile height in them, C2SP's do not; of the partial tiles that x/mod lists, the tree has the widest.
	var list strings.Builder
	tiles := tlog.NewTiles(8, 0, most)
	for i, tile := range tiles {
		if i+1 < len(tiles) && tiles[i+1].L == tile.L && tiles[i+1].N == tile.N {
			continue
		}
		data, err := tlog.ReadTileData(tile, reader)
		check(err)
		sum := sha256.Sum256(data)
		fmt.Fprintf(&list, "tile/%s %s\n", strings.TrimPrefix(tile.Path(), "tile/8/"), hex.EncodeToString(sum[:8]))
	}
	write("tiles.txt", list.String())

	// A checkpoint signed by the log and by a second key, the verifier keys, and a proof file.
	log, vkey := signer(origin, 1)
	second, secondKey := signer("second.example.org", 2)
	write("vkeys.txt", vkey+"\n"+secondKey+"\n")
	root, err := tlog.TreeHash(1000, reader)
	check(err)
	text := fmt.Sprintf("%s\n1000\n%s\n", origin, root)
	checkpoint, err := note.Sign(&note.Note{Text: text}, log, second)
	check(err)
	write("checkpoint.txt", string(checkpoint))
	path, err := tlog.ProveRecord(1000, 777, reader)
	check(err)
	file := "c2sp.org/tlog-proof@v1\nextra b3JkZXJseQ==\nindex 777\n"
	for _, h := range path {
		file += h.String() + "\n"
	}
	write("entry-777.tlog-proof", file+"\n"+string(checkpoint))
}
