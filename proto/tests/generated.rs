//! The committed code is what the `.proto` files say. `ORDERLY_WRITE=1` (`make generate`) writes it anew.

use std::{fs, path::Path};

const FILES: &[&str] = &[
    "orderly/v1/order.proto",
    "orderly/v1/link.proto",
    "orderly/v1/operator.proto",
    "orderly/local/v1/local.proto",
];
const OUTPUTS: &[&str] = &["orderly.v1.rs", "orderly.local.v1.rs"];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors =
        protox::compile(FILES.iter().map(|f| root.join(f)), [root]).expect("the .proto files compile");
    let out = std::env::temp_dir().join(format!("orderly-generated-{}", std::process::id()));
    fs::create_dir_all(&out).expect("create the output folder");
    tonic_prost_build::configure().out_dir(&out).compile_fds(descriptors).expect("code is generated");
    for name in OUTPUTS {
        let now = fs::read_to_string(out.join(name)).expect("generated file");
        let kept = root.join("src/gen").join(name);
        if std::env::var_os("ORDERLY_WRITE").is_some() {
            fs::write(&kept, &now).expect("write generated file");
        }
        let was = fs::read_to_string(&kept).unwrap_or_default();
        assert!(was == now, "{} is stale: run `make generate`", kept.display());
    }
    fs::remove_dir_all(&out).expect("clean up");
}
