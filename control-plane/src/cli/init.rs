//! `control-plane init`: makes an installation and says what to do next. The only secret that it prints
//! is the first owner's link, which works once.

use clap::Args;
use serde_json::json;

use super::{Answer, World};
use crate::{
    config::{APPLIANCES, PEOPLE},
    directory::Directory,
    init::{Made, Options, init},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  control-plane init --dir /srv/orderly --organization msp.example \\\n      \
    --public-address https://control.msp.example:8443"
)]
pub(super) struct Init {
    /// Trust domain: who you are, such as msp.example
    #[arg(long, value_name = "DOMAIN")]
    organization: String,
    /// What appliances are told to connect to [default: https://control.DOMAIN:8443]
    #[arg(long, value_name = "URL")]
    public_address: Option<String>,
    /// Where to listen for appliances
    #[arg(long, value_name = "IP:PORT", default_value = APPLIANCES)]
    appliances: String,
    /// Where to listen for people
    #[arg(long, value_name = "IP:PORT", default_value = PEOPLE)]
    people: String,
    /// Gets a POST for every incident that needs a human
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// What the first owner is called
    #[arg(long, value_name = "NAME", default_value = "owner")]
    owner: String,
}

impl Init {
    pub(super) fn run(self, directory: &Directory, world: World) -> anyhow::Result<Answer> {
        let address =
            self.public_address.unwrap_or_else(|| format!("https://control.{}:8443", self.organization));
        let options = Options {
            organization: self.organization,
            address,
            appliances: self.appliances,
            people: self.people,
            webhook: self.webhook,
            owner: self.owner,
        };
        let mut random = world.random;
        let made = init(directory, &options, (world.now)(), &mut random)?;
        Ok(told(directory, &made))
    }
}

fn told(directory: &Directory, made: &Made) -> Answer {
    let root = directory.root().display();
    let mut text = format!(
        "Made {root} for {organization}: charter serial {serial}, holds until {until}; catalogue version {version}, \
         {runbooks} runbooks.\n\n\
         Next:\n  \
         1. Carry these away, each to where the text file beside it says, and remove them here. Without them nothing\n     \
         can be renewed; two of a kind in one place are as good as all:\n",
        organization = made.trust.organization,
        serial = made.charter.serial,
        until = made.charter.not_after,
        version = made.catalogue.version,
        runbooks = made.catalogue.entries.len(),
    );
    for path in &made.carry_away {
        text.push_str(&format!("       {}\n", path.display()));
    }
    text.push_str(&format!(
        "  2. Give the public keys to whoever is to verify your evidence: {}\n  \
         3. Look through {}\n  \
         4. Start it: control-plane serve --dir {root}\n  \
         5. In another terminal: control-plane --dir {root} tenant create \"NAME\"\n  \
         6. Open this in a browser, once, until {until}, to make the first owner's passkey. It is written nowhere else:\n       \
         {link}\n",
        directory.organization_keys().display(),
        directory.config().display(),
        link = made.link.0,
        until = made.link_until,
    ));
    let json = json!({
        "folder": directory.root(),
        "organization": made.trust.organization,
        "organization_keys": made.trust,
        "trust_file": directory.organization_keys(),
        "charter": { "serial": made.charter.serial, "not_after": made.charter.not_after },
        "release_keys": made.charter.release_keys,
        "catalogue": { "version": made.catalogue.version, "expires": made.catalogue.expires },
        "carry_away": made.carry_away,
        "link": made.link.0,
        "link_until": made.link_until,
    });
    Answer::new(text, json)
}
