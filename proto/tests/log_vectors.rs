//! What implementations that are not ours say: Certificate Transparency's test tree, Go's x/mod (see
//! `vectors/log/make_vectors.go`) and, for cosignatures, pyca/cryptography (`vectors/log/make_cosignatures.py`).

use proto::{
    keys::SecretKey,
    log::{
        Checkpoint, Cosigned, Cosigner, Hash, Head, MemoryTiles, Note, SignedCheckpoint, Signer, Tile, Tiles,
        TlogProof, VerifierKey, WitnessKey, append, cosignatures, encode_hashes, leaf_hash,
        prove_consistency, prove_inclusion, root, root_of, tiles, verify_consistency, verify_inclusion,
    },
    time::Millis,
};
use sha2::{Digest as _, Sha256};

const PROOFS: &str = include_str!("vectors/log/proofs.txt");
const TILES: &str = include_str!("vectors/log/tiles.txt");
const CHECKPOINT: &str = include_str!("vectors/log/checkpoint.txt");
const VKEYS: &str = include_str!("vectors/log/vkeys.txt");
const COSIGNATURES: &str = include_str!("vectors/log/cosignatures.txt");
const PROOF_FILE: &str = include_str!("vectors/log/entry-777.tlog-proof");

/// Certificate Transparency's test tree of eight leaves, known to every implementation of RFC 6962.
const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const F: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

fn from_hex(text: &str) -> Hash {
    let bytes = hex::decode(text).expect("hexadecimal");
    Hash(bytes.try_into().expect("32 bytes"))
}

fn stored(leaves: &[Hash]) -> MemoryTiles {
    let mut tiles = MemoryTiles::default();
    tiles.write(append(&tiles, Head::EMPTY, leaves).expect("an empty log takes entries").writes);
    tiles
}

fn leaves(count: u32) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(format!("entry {n}").as_bytes())).collect()
}

#[test]
fn the_certificate_transparency_tree() {
    let leaves: Vec<Hash> = CT_LEAVES.iter().map(|entry| leaf_hash(&hex::decode(entry).unwrap())).collect();
    let roots = CT_ROOTS.map(from_hex);
    let tiles = stored(&leaves);
    for (size, expected) in roots.iter().enumerate() {
        assert_eq!(root_of(&leaves[..size]), *expected, "size {size}");
        assert_eq!(root(&tiles, size as u64).unwrap(), *expected, "size {size}");
    }

    let inclusion: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (0, 8, &[A, B, C]),
        (5, 8, &[D, E, CT_ROOTS[4]]),
        (2, 3, &[CT_ROOTS[2]]),
        (1, 5, &[CT_ROOTS[1], B, D]),
    ];
    for (index, size, expected) in inclusion {
        let expected: Vec<Hash> = expected.iter().copied().map(from_hex).collect();
        assert_eq!(prove_inclusion(&tiles, index, size).unwrap(), expected, "{index} of {size}");
        verify_inclusion(leaves[index as usize], index, size, &expected, roots[size as usize]).unwrap();
    }

    let consistency: [(u64, u64, &[&str]); 4] =
        [(1, 1, &[]), (1, 8, &[A, B, C]), (6, 8, &[F, E, CT_ROOTS[4]]), (2, 5, &[B, D])];
    for (old, new, expected) in consistency {
        let expected: Vec<Hash> = expected.iter().copied().map(from_hex).collect();
        assert_eq!(prove_consistency(&tiles, old, new).unwrap(), expected, "{old} to {new}");
        verify_consistency(old, roots[old as usize], new, roots[new as usize], &expected).unwrap();
    }
}

#[test]
fn gos_roots_and_proofs_are_ours() {
    let leaves = leaves(70_000);
    let tiles = stored(&leaves);
    let root_at = |size| root(&tiles, size).unwrap();
    let (mut roots, mut inclusions, mut consistencies) = (0, 0, 0);
    for line in PROOFS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<u64>().unwrap();
        let hashes = |from: usize| {
            words[from..].iter().map(|text| Hash::from_base64(text).unwrap()).collect::<Vec<_>>()
        };
        match words[0] {
            "root" => {
                assert_eq!(hashes(2), [root_at(number(1))], "{line}");
                roots += 1;
            }
            "inclusion" => {
                let (index, size, proof) = (number(1), number(2), hashes(3));
                assert_eq!(prove_inclusion(&tiles, index, size).unwrap(), proof, "{line}");
                verify_inclusion(leaves[index as usize], index, size, &proof, root_at(size)).unwrap();
                inclusions += 1;
            }
            "consistency" => {
                let (old, new, proof) = (number(1), number(2), hashes(3));
                assert_eq!(prove_consistency(&tiles, old, new).unwrap(), proof, "{line}");
                verify_consistency(old, root_at(old), new, root_at(new), &proof).unwrap();
                consistencies += 1;
            }
            other => panic!("unknown vector {other:?}"),
        }
    }
    assert!(roots >= 11 && inclusions >= 30 && consistencies >= 50, "{roots}, {inclusions}, {consistencies}");
}

#[test]
fn gos_tiles_are_ours() {
    let store = stored(&leaves(70_000));
    let ours: Vec<String> = tiles(70_000)
        .map(|tile: Tile| {
            let bytes = encode_hashes(&store.tile(tile).unwrap());
            format!("{tile} {}", hex::encode(&Sha256::digest(bytes)[..8]))
        })
        .collect();
    let theirs: Vec<&str> = TILES.lines().collect();
    assert_eq!(ours, theirs);
}

#[test]
fn gos_note_is_ours_byte_for_byte() {
    let keys: Vec<VerifierKey> = VKEYS.lines().map(|line| line.parse().unwrap()).collect();
    let [log, second] = [SecretKey::ed25519([1; 32]), SecretKey::ed25519([2; 32])];
    let signers =
        [Signer::new(keys[0].name(), &log).unwrap(), Signer::new("second.example.org", &second).unwrap()];
    assert_eq!(signers.each_ref().map(|signer| signer.key().clone()).as_slice(), keys);

    let opened = Note::parse(CHECKPOINT.as_bytes()).unwrap().verify(&keys).unwrap();
    assert_eq!(opened.signers(), keys);
    assert_eq!(Note::sign(opened.text(), &signers).unwrap().to_string(), CHECKPOINT);

    let head = Head { size: 1000, root: root_of(&leaves(1000)) };
    let expected = Checkpoint::new(keys[0].name(), head);
    assert_eq!(SignedCheckpoint::open(CHECKPOINT.as_bytes(), &keys[..1]).unwrap().checkpoint(), &expected);
    let alone = expected.sign(&log).unwrap();
    assert_eq!(CHECKPOINT.lines().take(5).collect::<Vec<_>>(), alone.note().lines().collect::<Vec<_>>());
}

#[test]
fn the_note_of_gos_documentation() {
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n\
        — EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
    let neumann = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let opened = Note::parse(NOTE.as_bytes()).unwrap().verify(&[neumann]).unwrap();
    assert!(opened.text().ends_with("what your problem is.\n"));
    assert_eq!(opened.others()[0].name, "EnochRoot");
}

#[test]
fn gos_proof_file_is_ours_byte_for_byte() {
    let keys: Vec<VerifierKey> = VKEYS.lines().map(|line| line.parse().unwrap()).collect();
    let proof = TlogProof::parse(PROOF_FILE.as_bytes()).unwrap();
    assert_eq!(proof.extra, b"orderly");
    let verified = proof.verify(b"entry 777", &keys[..1]).unwrap();
    assert_eq!((verified.index(), verified.checkpoint().checkpoint().size), (777, 1000));
    assert_eq!(verified.checkpoint().note(), CHECKPOINT);

    let hashes = prove_inclusion(&stored(&leaves(1000)), 777, 1000).unwrap();
    let ours = TlogProof { extra: b"orderly".to_vec(), ..TlogProof::new(777, hashes, verified.checkpoint()) };
    assert_eq!(ours.to_string(), PROOF_FILE);
}

#[test]
fn cosignatures_of_another_implementation() {
    let (vkeys, note) = COSIGNATURES.split_once("\n\n").unwrap();
    let witnesses: Vec<WitnessKey> = vkeys.lines().map(|vkey| vkey.parse().unwrap()).collect();
    let logs: Vec<VerifierKey> = VKEYS.lines().map(|vkey| vkey.parse().unwrap()).collect();
    let checkpoint = SignedCheckpoint::open(note.as_bytes(), &logs).unwrap();
    let said =
        |n: usize, seconds: i64| Cosigned { witness: witnesses[n].clone(), at: Millis(seconds * 1000) };
    assert_eq!(
        cosignatures(&checkpoint, &witnesses).unwrap(),
        [said(0, 1_679_315_147), said(1, 4_102_444_800)]
    );
    // Ed25519 is deterministic: ours are the same bytes.
    for (n, name, seed, seconds) in
        [(2, "witness.example.com/w1", 0x31, 1_679_315_147), (3, "zeuge.example/ä", 0x32, 4_102_444_800)]
    {
        let secret = SecretKey::ed25519([seed; 32]);
        let line =
            Cosigner::new(name, &secret).unwrap().cosign(&checkpoint, Millis(seconds * 1000 + 7)).unwrap();
        assert_eq!(line, checkpoint.signatures()[n]);
    }
}
