//! The test app as a program: built small and static, once, from `lab/app`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::{Error, Result, run};
use crate::image::App;

/// The app, as images take it; built when its sources changed (a minute at most the first time).
pub fn app() -> Result<App> {
    static BUILT: OnceLock<std::result::Result<App, String>> = OnceLock::new();
    let build = || {
        let path = app_program().map_err(|error| error.to_string())?;
        App::from_file(&path).map_err(|error| error.to_string())
    };
    BUILT.get_or_init(build).clone().map_err(Error::Unknown)
}

/// Where the app's program lies, after it was built.
pub fn app_program() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = workspace.join("target/lab-app");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(cargo);
    command.current_dir(&workspace).env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["build", "--locked", "--quiet", "--profile", "app", "-p", "gitsync-lab-app"]);
    command.args(["--target", &triple, "--target-dir"]).arg(&target);
    run(&mut command)?;
    Ok(target.join(triple).join("app/lab-app"))
}
