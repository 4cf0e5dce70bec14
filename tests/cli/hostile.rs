//! What a repository can't make a controller do: run something of its own, or tell what the controller's files hold.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::lab::Lab;

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

#[test]
fn attributes_filters_and_hooks_are_never_run() {
    let lab = Lab::new();
    let mark = lab.home().join("ran");
    let touch = format!("touch {}", mark.display());
    lab.write(
        ".gitattributes",
        "* filter=evil diff=evil merge=evil\n*.bin filter=lfs\nfiles/** text eol=crlf ident working-tree-encoding=UTF-16\n",
    );
    lab.write(".lfsconfig", "[lfs]\nurl = https://evil.example/\n");
    lab.write(".gitmodules", "[submodule \"x\"]\npath = x\nurl = ext::sh -c touch%20x\n");
    lab.write("files/motd/motd", "one\ntwo $Id$\n");
    lab.write("files/motd/big.bin", POINTER);
    // As though someone had set these filters up for other repositories of theirs, and hooks in this one.
    let filters = format!(
        "[filter \"evil\"]\nclean = {touch}\nsmudge = {touch}\nprocess = {touch}\nrequired = true\n\
         [filter \"lfs\"]\nclean = {touch}\nsmudge = {touch}\nprocess = {touch}\n\
         [diff \"evil\"]\ntextconv = {touch}\ncommand = {touch}\n[core]\nfsmonitor = {touch}\nsshCommand = {touch}\n"
    );
    std::fs::write(lab.home().join(".gitconfig"), filters).unwrap();
    lab.commit("attributes");
    let bare = lab.bare();
    for repository in [lab.repository().join(".git"), bare.clone()] {
        for hook in [
            "post-checkout",
            "post-merge",
            "pre-auto-gc",
            "reference-transaction",
            "post-index-change",
            "fsmonitor-watchman",
        ] {
            let path = repository.join("hooks").join(hook);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    lab.gitsync(&["plan"]).exits(0);
    lab.gitsync(&["apply", "--yes"]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "one\ntwo $Id$");
    assert_eq!(std::fs::read_to_string(lab.motd()).unwrap(), "one\ntwo $Id$\n");
    let big = lab.motd().with_file_name("big.bin");
    assert_eq!(std::fs::read_to_string(big).unwrap(), POINTER);
    let mut daemon = lab.start(&["run", &format!("file://{}", bare.display()), "--interval", "1h"]);
    daemon.hears("up to date");
    daemon.signal("TERM");
    daemon.end().exits(0);
    assert!(!mark.exists(), "something of the repository was run");
}

#[test]
fn what_the_controller_can_read_is_not_told() {
    let lab = Lab::new();
    let secret = lab.home().join("secret");
    std::fs::write(&secret, "s3cret-of-the-controller\n").unwrap();
    let place = secret.display();
    symlink(&secret, lab.repository().join("files/motd/link")).unwrap();
    symlink(&secret, lab.repository().join("services/linked.yaml")).unwrap();
    lab.write(
        "nodes/n3.yaml",
        &format!("address: 127.0.0.1\nssh: {{ port: 1, identity: {place} }}\n"),
    );
    lab.write("templates/Caddyfile.tera", &format!("{{% include \"{place}\" %}}"));
    lab.write("gateways/edge.yaml", "proxy: caddy\non: [n1]\n");
    lab.commit("links");
    for command in [&["validate"][..], &["plan"], &["render", "--out", "x"], &["apply", "--yes"]] {
        let said = lab.gitsync(command);
        assert!(!said.out.contains("s3cret") && !said.err.contains("s3cret"), "{command:?}");
    }
    // The key that is none, by itself: ssh reads it, and says nothing of what is in it.
    for path in [
        "files/motd/link",
        "services/linked.yaml",
        "templates/Caddyfile.tera",
        "gateways/edge.yaml",
    ] {
        lab.remove(path);
    }
    lab.commit("an identity");
    let said = lab.gitsync(&["apply", "--yes"]).exits(1).says("n3 can't be reached");
    assert!(!said.out.contains("s3cret") && !said.err.contains("s3cret"), "{}", said.err);
}
