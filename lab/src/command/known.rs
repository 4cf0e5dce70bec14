//! What was broken on purpose and not mended yet, as the lab's directory remembers it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gitsync_lab::{Error, Fault, Result, Way};

/// By host, then by what is broken: in words.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Known(BTreeMap<String, BTreeMap<String, String>>);

impl Known {
    /// What a lab remembers; nothing when it can't be read.
    pub fn read(lab: &Path) -> Self {
        let text = fs::read(file(lab)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps it for the next call.
    pub fn write(&self, lab: &Path) -> Result<()> {
        let path = file(lab);
        let json =
            serde_json::to_string(self).map_err(|error| Error::Unknown(error.to_string()))?;
        fs::write(&path, json).map_err(|source| Error::File { path, source })
    }

    /// The faults of a host, in words.
    pub fn of(&self, host: &str) -> Vec<&str> {
        self.0.get(host).into_iter().flat_map(BTreeMap::values).map(String::as_str).collect()
    }

    /// Remembers a fault, or forgets those that it mends.
    pub fn note(&mut self, host: &str, fault: &Fault) {
        let of = self.0.entry(host.to_owned()).or_default();
        let mut set = |key: String, words: String| drop(of.insert(key, words));
        match fault {
            Fault::Down => set("link".to_owned(), "link down".to_owned()),
            Fault::Cut => set("cut".to_owned(), "cut off".to_owned()),
            Fault::OneWay(Way::Deaf, peer) => {
                set(format!("deaf {peer}"), format!("deaf to {peer}"))
            }
            Fault::OneWay(Way::Mute, peer) => {
                set(format!("mute {peer}"), format!("mute to {peer}"))
            }
            Fault::Loss(part) if *part > 0.0 => set("loss".to_owned(), format!("loses {part}")),
            Fault::Slow(rate) => set("slow".to_owned(), format!("slow: {rate} kbit/s")),
            Fault::Freeze => set("frozen".to_owned(), "frozen".to_owned()),
            Fault::HangSshd => set("sshd".to_owned(), "sshd hangs".to_owned()),
            Fault::Fill(path, _) => set(format!("fill {path}"), format!("{path} is full")),
            Fault::ChangeHostKey => set("key".to_owned(), "another host key".to_owned()),
            mended => of.retain(|key, _| !mends(mended, key)),
        }
    }
}

fn file(lab: &Path) -> PathBuf {
    lab.join("faults.json")
}

fn mends(fault: &Fault, key: &str) -> bool {
    match fault {
        Fault::Up => key == "link",
        Fault::Mend => key == "cut",
        Fault::BothWays => key.starts_with("deaf ") || key.starts_with("mute "),
        Fault::Loss(_) => key == "loss",
        Fault::FullSpeed => key == "slow",
        Fault::Thaw => key == "frozen",
        Fault::WakeSshd => key == "sshd",
        Fault::Drain(path) => key == format!("fill {path}"),
        // Only what lies on the disk outlives the power.
        Fault::PowerOff | Fault::Reboot => !key.starts_with("fill ") && key != "key",
        _ => false,
    }
}
