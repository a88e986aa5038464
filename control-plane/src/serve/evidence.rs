//! Operators' calls that read much: bundles and packets, made beside the writer from one snapshot of the database.

use proto::{
    ids::TenantId,
    log::log_number,
    pb::{BundlePart, EvidenceList, ExportBundle, ListEvidence, ListWitnesses, WitnessList, evidence_server},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    operators::{Operators, called},
    views,
};
use crate::{
    bundle::{Bundle, Month, export},
    core::{chain, export::parts_as_of, packets::Edition},
    packet::{PacketError, PacketFiles},
};

/// How much of a file one message carries.
const PART: usize = 1 << 20;

impl Operators {
    /// Makes a bundle. The packet of a month that is over is made once: the first is kept, and made again it is the same.
    pub(super) async fn bundle(
        &self,
        id: TenantId,
        month: Option<Month>,
        log: u64,
    ) -> Result<Bundle, Status> {
        let over = month.filter(|month| month.end() <= (self.about.clock)());
        // A packet that is kept and sent is of the newest log; of one before, it is only looked at.
        let Some(month) = over.filter(|_| log == 0) else {
            return Ok(self.make(id, month, None, log).await?.0);
        };
        // Twice at most: whoever was not the first makes the first's.
        loop {
            let edition = self.writer.run(move |core, now| core.edition(id, month, now)).await?;
            let is_kept = edition.is_some();
            let (bundle, made) = self.make(id, Some(month), edition, log).await?;
            let Some((edition, files)) = made.filter(|_| !is_kept) else { return Ok(bundle) };
            let mine = edition.clone();
            let kept =
                self.writer.run(move |core, now| core.keep_packet(id, month, mine, &files, now)).await?;
            if kept == edition {
                return Ok(bundle);
            }
        }
    }

    /// The same, on a thread of its own, from one snapshot; and the edition of the packet in it. `log`: which of the clinic's,
    /// 0 for the newest; an edition is of the one that it was made from.
    async fn make(
        &self,
        tenant: TenantId,
        month: Option<Month>,
        edition: Option<(Edition, Option<PacketFiles>)>,
        log: u64,
    ) -> Result<(Bundle, Option<(Edition, PacketFiles)>), Status> {
        let about = self.about.clone();
        let (charter, brand) =
            self.writer.run(|core, _| Ok((core.charter().clone(), core.brand().clone()))).await?;
        let made = tokio::task::spawn_blocking(move || {
            let failed = |error: &(dyn std::error::Error + 'static)| {
                tracing::error!(error = %chain(error), "a bundle could not be made");
                Status::internal("the bundle could not be made; the server's log says why")
            };
            let store = (about.reader)().map_err(|e| failed(&e))?;
            store.snapshot().map_err(|e| failed(&e))?;
            let row = store.tenant(tenant).map_err(|e| failed(&e))?;
            let mut row = row.ok_or_else(|| Status::not_found(format!("there is no tenant {tenant}")))?;
            let log = edition.as_ref().map_or(log, |(edition, _)| edition.log());
            if log != 0 && log != log_number(&row.log_origin) {
                let is_one = store.look_at_log(row.id, log).map_err(|e| failed(&e))?;
                let again = store.tenant(row.id).map_err(|e| failed(&e))?.filter(|_| is_one);
                row = again.ok_or_else(|| Status::not_found(format!("{} has no log {log}", row.name)))?;
            }
            let now = (about.clock)();
            if let Some(month) = month.filter(|month| month.begin() >= now) {
                let early = PacketError::NotBegun { month, made_at: now };
                return Err(Status::invalid_argument(early.to_string()));
            }
            let mut parts =
                parts_as_of(&store, &row, &charter, month, edition.as_ref(), now).map_err(Status::from)?;
            // A packet says what it said, whoever runs this by now.
            if edition.is_none() {
                parts.brand = brand;
            }
            let bundle = export::build(&parts).map_err(|e| failed(&e))?;
            let made = Edition::of(&parts, &export::said(&parts), &bundle);
            if let (Some((kept, _)), Some((again, _))) = (&edition, &made)
                && *kept != *again
            {
                tracing::warn!(tenant = %row.id, month = %kept.said.period.from, "a packet made again differs from the one that was kept");
            }
            Ok((bundle, made))
        });
        made.await.map_err(|_| Status::internal("making the bundle broke off"))?
    }
}

pub(super) fn month(text: &str) -> Result<Option<Month>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|bad: proto::field::BadField| Status::from(bad))
}

#[tonic::async_trait]
impl evidence_server::Evidence for Operators {
    async fn list(&self, request: Request<ListEvidence>) -> Result<Response<EvidenceList>, Status> {
        self.act(request, |core, asked, _| {
            let (rows, size) = core.evidence(&asked.tenant, asked.from, asked.limit)?;
            Ok(EvidenceList { evidence: rows.into_iter().map(views::evidence).collect(), size })
        })
        .await
    }

    async fn witnesses(&self, request: Request<ListWitnesses>) -> Result<Response<WitnessList>, Status> {
        let about = self.about.clone();
        self.act(request, move |core, asked, _| {
            let tenant = asked.tenant;
            let (standing, log_keys, size) = core.witnessed(&tenant)?;
            let url = |name: &str| about.witnesses.iter().find(|witness| witness.name == name);
            let witnesses = standing.into_iter().map(|(key, row)| {
                let url = url(key.name()).map_or_else(String::new, |witness| witness.url.to_string());
                views::witness(&key, row, url)
            });
            let timestamps = views::timestamps(core.timestamps(core.tenant(&tenant)?.id)?, &about.timestamps);
            Ok(WitnessList { witnesses: witnesses.collect(), size, log_keys, timestamps: Some(timestamps) })
        })
        .await
    }

    type ExportStream = ReceiverStream<Result<BundlePart, Status>>;

    async fn export(&self, request: Request<ExportBundle>) -> Result<Response<Self::ExportStream>, Status> {
        let (caller, asked) = called(request)?;
        let month = month(&asked.month)?;
        let tenant = self.act_for(caller, move |core, _| Ok(core.tenant(&asked.tenant)?.id)).await?;
        let bundle = self.bundle(tenant, month, asked.log).await?;
        let (parts, stream) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            for (path, content) in bundle.into_files() {
                let count = content.len().div_ceil(PART).max(1);
                for at in 0..count {
                    let piece = content[at * PART..content.len().min((at + 1) * PART)].to_vec();
                    let part = BundlePart { path: path.clone(), content: piece, last: at + 1 == count };
                    if parts.send(Ok(part)).await.is_err() {
                        return; // the caller hung up
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
