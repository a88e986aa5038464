//! Names, bundles, notes, checkpoints and proof files: what is written is read, and hostile bytes never panic.

use proptest::{collection::vec, prelude::*, sample::Index};
use proto::{
    keys::{PublicKey, SecretKey},
    log::{
        Bundle, Checkpoint, Hash, Head, KeyId, Note, NoteError, SIGNATURES_MAX, Signature, SignedCheckpoint,
        Signer, Tile, TlogProof, VerifierKey, decode_hashes,
    },
};

const ORIGIN: &str = "evidence.example.com/0192f0c1";

fn secret() -> SecretKey {
    SecretKey::ed25519([9; 32])
}

fn known() -> [VerifierKey; 1] {
    [VerifierKey::new(ORIGIN, &secret().public()).expect("a valid name")]
}

fn signed(size: u64, root: [u8; 32]) -> SignedCheckpoint {
    Checkpoint::new(ORIGIN, Head { size, root: Hash(root) }).sign(&secret()).expect("a valid origin")
}

#[test]
fn a_note_may_have_a_hundred_signatures() {
    let note = signed(5, [7; 32]).note().to_owned();
    let stranger = Signature { name: "w".into(), id: KeyId([4; 4]), bytes: vec![4; 2420] };
    let open = |count| {
        let note = format!("{note}{}", format!("{stranger}\n").repeat(count));
        Note::parse(note.as_bytes())?.verify(&known())
    };
    assert_eq!(open(SIGNATURES_MAX - 1).unwrap().others().len(), 99);
    assert_eq!(open(SIGNATURES_MAX), Err(NoteError::TooMany));
}

/// Key IDs are short: these two keys of the name `log` were found by trying 41,148.
#[test]
fn known_keys_that_cannot_be_told_apart_are_an_error() {
    let key = |n: u16| {
        let mut bytes = [0; 32];
        bytes[30..].copy_from_slice(&n.to_be_bytes());
        VerifierKey::new("log", &PublicKey::Ed25519(bytes)).unwrap()
    };
    let twins = [key(29_982), key(41_147)];
    let id = twins[0].id();
    assert_eq!(twins[1].id(), id);
    let line = Signature { name: "log".into(), id, bytes: vec![1; 64] };
    let note = Note::parse(format!("{}{line}\n", signed(5, [7; 32]).note()).as_bytes()).unwrap();
    assert_eq!(
        note.clone().verify(&[&known()[..], &twins].concat()),
        Err(NoteError::Ambiguous { name: "log".into(), id })
    );
    assert_eq!(note.verify(&known()).unwrap().signers(), known());
}

proptest! {
    #[test]
    fn tile_names_are_read_as_written(level in 0..=63_u8, index: u64, few in 0..2_000_000_u64, width in 1..=256_u16) {
        for index in [index, few] {
            let tile = Tile::new(level, index, width).unwrap();
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            let bundle = Bundle::new(index, width).unwrap();
            prop_assert_eq!(bundle.to_string().parse(), Ok(bundle));
        }
    }

    /// Whatever else reads as a tile would be a second name for it.
    #[test]
    fn a_tile_has_one_name(path in "tile/(entries|[0-9]{1,3})/(x?[0-9]{0,4}/?){1,3}(\\.p/[0-9]{0,3})?") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path.as_str());
        }
        if let Ok(bundle) = path.parse::<Bundle>() {
            prop_assert_eq!(bundle.to_string(), path.as_str());
        }
    }

    #[test]
    fn bundles_are_read_as_written(entries in vec(vec(any::<u8>(), 0..600), 1..=256)) {
        let bundle = Bundle::new(0, entries.len() as u16).unwrap();
        let bytes = bundle.encode(&entries).unwrap();
        prop_assert_eq!(bundle.decode(&bytes).unwrap(), entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert!(bundle.decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn hostile_bytes_are_no_bundle_or_exactly_one(bytes in vec(any::<u8>(), 0..2000), width in 1..=256_u16) {
        let bundle = Bundle::new(0, width).unwrap();
        if let Ok(entries) = bundle.decode(&bytes) {
            prop_assert_eq!(bundle.encode(&entries).unwrap(), bytes);
        }
    }

    #[test]
    fn hostile_lengths_are_no_bundle_or_exactly_one(lengths in vec(0..4_u16, 0..300), width in 1..=256_u16) {
        let bytes: Vec<u8> = lengths.into_iter().flat_map(u16::to_be_bytes).collect();
        let bundle = Bundle::new(0, width).unwrap();
        if let Ok(entries) = bundle.decode(&bytes) {
            prop_assert_eq!(bundle.encode(&entries).unwrap(), bytes);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), text in "\\PC{0,60}") {
        for bytes in [&bytes, text.as_bytes()] {
            let _ = decode_hashes(bytes);
            prop_assert!(SignedCheckpoint::open(bytes, &known()).is_err());
            if let Ok(note) = Note::parse(bytes) {
                prop_assert_eq!(note.to_string().into_bytes(), bytes);
            }
            if let Ok(proof) = TlogProof::parse(bytes) {
                prop_assert_eq!(proof.to_string().into_bytes(), bytes);
            }
        }
        prop_assert!(text.parse::<VerifierKey>().is_err());
        prop_assert!(text.parse::<Tile>().is_err());
    }

    #[test]
    fn notes_are_opened_as_signed(lines in vec("[^\\x00-\\x1f]{0,40}", 1..6), seeds in vec(any::<u8>(), 1..4)) {
        let text = format!("{}\n", lines.join("\n"));
        let secrets: Vec<SecretKey> = seeds.iter().map(|seed| SecretKey::ed25519([*seed; 32])).collect();
        let signers: Vec<Signer> = secrets.iter().map(|secret| Signer::new("log", secret).unwrap()).collect();
        let note = Note::sign(&text, &signers).unwrap();
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&read, &note);
        let opened = read.verify(&[signers[0].key().clone()]).unwrap();
        prop_assert_eq!(opened.text(), &text);
        prop_assert_eq!(opened.signers(), std::slice::from_ref(signers[0].key()));
    }

    /// One byte changed anywhere, one cut off, one added: no checkpoint, or at most one that says the same.
    #[test]
    fn no_damaged_checkpoint_says_anything_else(size in 1_u64.., root: [u8; 32], at: Index, to: u8) {
        let good = signed(size, root);
        let note = good.note().as_bytes();
        let at = at.index(note.len());
        let mut changed = note.to_vec();
        changed[at] = to;
        let mut cut = note.to_vec();
        cut.remove(at);
        let mut added = note.to_vec();
        added.insert(at, to);
        for damaged in [changed, cut, added].iter().filter(|damaged| *damaged != note) {
            prop_assert!(SignedCheckpoint::open(damaged, &known()).is_err(), "{}", String::from_utf8_lossy(damaged));
        }
        prop_assert_eq!(SignedCheckpoint::open(note, &known()), Ok(good));
    }

    #[test]
    fn proof_files_are_read_as_written(
        extra in vec(any::<u8>(), 0..100), index: u64, hashes in vec(any::<[u8; 32]>(), 0..=64), size in 1_u64..,
    ) {
        let hashes = hashes.into_iter().map(Hash).collect();
        let proof = TlogProof { extra, ..TlogProof::new(index, hashes, &signed(size, [7; 32])) };
        prop_assert_eq!(TlogProof::parse(proof.to_string().as_bytes()), Ok(proof));
    }

    #[test]
    fn damaged_proof_files_are_one_spelling_or_none(hashes in vec(any::<[u8; 32]>(), 0..4), at: Index, to: u8) {
        let hashes = hashes.into_iter().map(Hash).collect();
        let mut bytes = TlogProof::new(2, hashes, &signed(5, [7; 32])).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(proof) = TlogProof::parse(&bytes) {
            prop_assert!(proof.verify(b"entry", &known()).is_err());
            prop_assert_eq!(proof.to_string().into_bytes(), bytes);
        }
    }
}
