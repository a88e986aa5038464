//! `control-plane evidence copy`: the folder's vault into a bucket, and what to change in the settings then.

use std::{os::unix::net::UnixStream, path::PathBuf};

use clap::Args;
use serde_json::json;
use toml::{Table, Value};

use super::bar;
use crate::{
    cli::{Answer, Global, World, misuse},
    config::{Config, ConfigError, VaultStore},
    copy::copy,
    files,
    store::Store,
    vault::{self, DirectoryVault},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Copy {
    /// Bucket with versioning and Object Lock
    #[arg(long, value_name = "NAME")]
    bucket: String,
    /// URL of the store [default: Amazon's in --region]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Region that requests are signed for [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// Folder in the bucket [default: none]
    #[arg(long, value_name = "FOLDER")]
    prefix: Option<String>,
    /// The bucket stands in the path (Ceph, most stores of one's own), not in the host's name
    #[arg(long)]
    path_style: bool,
    /// File with the bucket's access key [default: the environment has it]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// File with certificates that the endpoint's must come from [default: the public web's]
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

impl Copy {
    pub(super) fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        let directory = global.directory();
        let path = directory.config();
        let now = Config::load(&path)?;
        if now.vault.store != VaultStore::Directory {
            return Err(misuse(format!(
                "vault.kind in {} is \"s3\", must be \"directory\": what is copied is the folder vault/",
                path.display()
            )));
        }
        let (block, then) = self.settings(&files::read_text(&path, u64::from(u32::MAX))?)?;
        let VaultStore::S3(bucket) = then.vault.store else { unreachable!("the block says so") };
        // The index is written to; only the server makes a new database, or an old one new.
        Store::open_reader(&directory.database())?.is_of_this_program()?;
        let store = Store::open(&directory.database())?;
        let from = DirectoryVault::at(&directory.vault());
        let to = vault::open_bucket(&bucket, world.now).map_err(|error| match error.is_settings() {
            true => anyhow::Error::new(ConfigError::Vault(error)),
            false => error.into(),
        })?;
        let bar = bar(global, "copying");
        let copied = copy(&store, &from, &to, (world.now)(), &mut |more, all| {
            bar.set_length(all);
            bar.inc(more);
        })?;
        bar.finish_and_clear();
        let runs = UnixStream::connect(directory.admin_socket()).is_ok();
        let json = json!({
            "bucket": bucket.to_string(), "copied": copied.copied, "before": copied.before, "ended": copied.ended,
            "not_indexed": copied.not_indexed, "bytes": copied.bytes, "server_runs": runs, "vault": block,
        });
        let mut text = format!(
            "{bucket}: {} objects lie there as they were kept, {} of them from a copy before; {} bytes were copied.\n",
            copied.copied + copied.before,
            copied.before,
            copied.bytes
        );
        if copied.ended > 0 {
            text += &format!("{} are gone from the folder, as they may be after their date.\n", copied.ended);
        }
        text += &match runs {
            true => {
                "\nThe server runs, and keeps what is new in the folder: stop it, then run this once more."
                    .to_owned()
            }
            false => format!(
                "\nBefore the server is started again, put this into {} in place of [vault] there:\n\n[vault]\n{block}\n\
                 Then `control-plane evidence audit` must be sound; keep the folder {} until it is.",
                path.display(),
                directory.vault().display()
            ),
        };
        Ok(Answer::new(text, json).with_code(if runs { 3 } else { 0 }))
    }

    /// The block `[vault]` of the settings to come, and those settings, checked as any are.
    fn settings(self, text: &str) -> anyhow::Result<(String, Config)> {
        let mut settings: Table = text.parse()?;
        let mut block = Table::from_iter([("kind".to_owned(), Value::from("s3"))]);
        let path = |path: PathBuf| path.display().to_string();
        for (key, value) in [
            ("endpoint", self.endpoint),
            ("region", self.region),
            ("bucket", Some(self.bucket)),
            ("prefix", self.prefix),
            ("credentials", self.credentials.map(path)),
            ("authority", self.authority.map(path)),
        ] {
            block.extend(value.map(|value| (key.to_owned(), Value::from(value))));
        }
        if self.path_style {
            block.insert("path_style".to_owned(), Value::from(true));
        }
        let days = settings.get("vault").and_then(|vault| vault.get("retention_days"));
        block.extend(days.map(|days| ("retention_days".to_owned(), days.clone())));
        let written = block.to_string();
        settings.insert("vault".to_owned(), Value::Table(block));
        Ok((written, Config::parse(&settings.to_string())?))
    }
}
