//! Names the build by what it is made of: outputs carry the name, and only equal builds are compared byte for byte.

use std::path::{Path, PathBuf};

fn main() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let lock = crates.join("../Cargo.lock");
    let mut files = vec![lock.clone()];
    collect(&crates, &mut files);
    files.sort();
    // FNV-1a: a fingerprint of the sources, no defence against anybody.
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        for byte in std::fs::read(file).unwrap_or_default() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    println!("cargo:rerun-if-changed={}", crates.display());
    println!("cargo:rustc-env=PACELINE_SOURCE={digest:016x}");
}

/// All sources that end up in the program, tests' own folders left out.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["tests", "examples", "target", "benches"].iter().any(|skip| name == *skip) {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
