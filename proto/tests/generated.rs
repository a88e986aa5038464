//! The committed code is what the `.proto` files say. `ORDERLY_WRITE=1` (`make generate`) writes it anew.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = protos(&root.join("orderly"));
    assert!(sources.len() >= 4, "too few .proto files are found: {sources:?}");
    let descriptors = protox::compile(sources, [root]).expect("the .proto files compile");
    let out = std::env::temp_dir().join(format!("orderly-generated-{}", std::process::id()));
    fs::create_dir_all(&out).expect("create the output folder");
    let mut described = descriptors.clone();
    // Clients are made over a channel that is there already: how it connects is not the contract's.
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute(".", "#[cfg(feature = \"rpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"rpc\")]")
        .out_dir(&out)
        .compile_fds(descriptors)
        .expect("code is generated");
    // What a server says of itself: without what is between two programs of one box, and without the comments.
    described.file.retain(|file| file.package() == "orderly.v1");
    described.file.iter_mut().for_each(|file| file.source_code_info = None);
    fs::write(out.join("orderly.v1.binpb"), described.encode_to_vec()).expect("write the descriptors");
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("list a folder").map(|entry| entry.expect("an entry"));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    for name in names(&out) {
        let now = fs::read(out.join(&name)).expect("generated file");
        let kept = root.join("src/gen").join(&name);
        if std::env::var_os("ORDERLY_WRITE").is_some() {
            fs::write(&kept, &now).expect("write generated file");
        }
        let was = fs::read(&kept).unwrap_or_default();
        assert!(was == now, "{} is stale: run `make generate`", kept.display());
    }
    assert_eq!(names(&root.join("src/gen")), names(&out), "src/gen has a file that nothing generates");
    fs::remove_dir_all(&out).expect("clean up");
}

/// Every `.proto` file below `folder`, in a fixed order.
fn protos(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).expect("list a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(protos(&path));
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    found
}
