//! Somebody who owns the agent process: speaks to the executor directly, and tries to have things run.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use appliance::{ipc::Connection, world::Executor as _};
use proto::local::{
    Deliver, Deliver as Delivery, Delivered, Describe, Description, Request, Response, request, response,
};

/// A connection such as the agent has.
pub struct Intruder(Connection);

impl Intruder {
    /// Connects.
    pub fn enter(socket: &Path) -> Result<Self> {
        Ok(Self(Connection::open(socket)?))
    }

    /// What the executor says of itself.
    pub fn describe(&mut self) -> Result<Description> {
        match self.call(request::Call::Describe(Describe {}))? {
            response::Answer::Description(description) => Ok(description),
            other => bail!("asked for a description, got {other:?}"),
        }
    }

    /// Hands over an order.
    pub fn deliver(&mut self, order: Vec<u8>) -> Result<Delivered> {
        let delivery: Delivery = Deliver { orders: vec![order], ..Default::default() };
        match self.call(request::Call::Deliver(delivery))? {
            response::Answer::Delivered(delivered) => Ok(delivered),
            other => bail!("handed over an order, got {other:?}"),
        }
    }

    fn call(&mut self, call: request::Call) -> Result<response::Answer> {
        let response: Response = self.0.call(Request { call: Some(call) })?;
        response.answer.context("the executor gave no answer")
    }
}
