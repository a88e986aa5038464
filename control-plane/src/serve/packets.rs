//! Operators' calls about packets: made, sent, acknowledged.

use proto::{
    digest::Digest,
    pb::{
        BuildPacket, ListPackets, Packet, PacketList, PacketView, ReviewPacket, SendPacket, packets_server,
    },
};
use tonic::{Request, Response, Status};

use super::{
    evidence::month,
    operators::{Operators, called},
    views,
};
use crate::bundle::{Month, Place};

#[tonic::async_trait]
impl packets_server::Packets for Operators {
    async fn build(&self, request: Request<BuildPacket>) -> Result<Response<Packet>, Status> {
        let (caller, asked) = called(request)?;
        let month = wanted(&asked.month)?;
        let tenant = self.act_for(caller, move |core, _| Ok(core.tenant(&asked.tenant)?.id)).await?;
        let mut files = self.bundle(tenant, Some(month), 0).await?.into_files();
        let markdown = files.remove(&Place::PacketMarkdown.to_string()).unwrap_or_default();
        let pdf = files.remove(&Place::PacketPdf.to_string()).unwrap_or_default();
        let markdown = String::from_utf8(markdown).map_err(|_| Status::internal("the packet is not text"))?;
        Ok(Response::new(packet(markdown, pdf)))
    }

    async fn list(&self, request: Request<ListPackets>) -> Result<Response<PacketList>, Status> {
        self.act(request, |core, asked, now| {
            let packets = core.tracked_packets(&asked.tenant, asked.limit, now)?;
            Ok(PacketList {
                packets: packets.into_iter().map(views::packet).collect(),
                mails: core.sends_mail(),
            })
        })
        .await
    }

    async fn send(&self, request: Request<SendPacket>) -> Result<Response<PacketView>, Status> {
        let of = wanted(&request.get_ref().month)?;
        self.act(request, move |core, asked, now| core.send_packet(&asked.tenant, of, now).map(views::packet))
            .await
    }

    async fn review(&self, request: Request<ReviewPacket>) -> Result<Response<PacketView>, Status> {
        let of = wanted(&request.get_ref().month)?;
        self.act(request, move |core, asked, now| {
            core.review_packet(&asked.tenant, of, (&asked.name, &asked.role), now).map(views::packet)
        })
        .await
    }
}

fn wanted(text: &str) -> Result<Month, Status> {
    month(text)?.ok_or_else(|| Status::invalid_argument("month must look like 2026-11"))
}

/// `pdf` is empty where the server is built without the feature: then the Markdown is all there is.
fn packet(markdown: String, pdf: Vec<u8>) -> Packet {
    let whole = if pdf.is_empty() { markdown.as_bytes() } else { &pdf };
    Packet { sha256: Digest::of(whole).to_string(), markdown, pdf }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_digest_is_of_what_there_is() {
        let both = packet("text".into(), b"%PDF-".to_vec());
        assert_eq!(both.sha256, Digest::of(b"%PDF-").to_string());
        let text = packet("text".into(), Vec::new());
        assert_eq!(text.sha256, Digest::of(b"text").to_string());
    }
}
