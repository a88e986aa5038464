//! Columns as domain types: a value that does not parse is an error of its row, said once, here.

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation, IncidentId, OrderId, RunbookId, SiteId, StreamId, TenantId, WatchId},
    keys::PublicKey,
    log::Hash,
    time::Millis,
};
use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef},
};

use uuid::Uuid;

use crate::access::{PersonState, Role, SessionKind};

/// A type that a column can be read as.
pub(super) trait Column: Sized {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

/// Reads column `name` of `row`.
pub(super) fn col<T: Column>(row: &Row<'_>, name: &str) -> rusqlite::Result<T> {
    Ok(row.get::<_, Read<T>>(name)?.0)
}

struct Read<T>(T);

impl<T: Column> FromSql for Read<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::read(value).map(Self)
    }
}

/// A domain value as a parameter.
#[derive(Debug)]
pub(super) struct Col<T>(pub T);

macro_rules! as_blob {
    ($($type:ident),+) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_blob()?.try_into().map($type).map_err(|_| FromSqlError::InvalidType)
            }
        }
        impl ToSql for Col<$type> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0.0)))
            }
        }
    )+};
}

macro_rules! as_text {
    ($($type:ident),+) => {$(
        impl Column for $type {
            fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
            }
        }
        impl ToSql for Col<$type> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Owned(Value::Text(self.0.to_string())))
            }
        }
    )+};
}

as_blob!(Digest, Hash, Incarnation, StreamId);
as_text!(
    ApplianceId,
    IncidentId,
    OrderId,
    RunbookId,
    SiteId,
    TenantId,
    WatchId,
    PublicKey,
    PersonState,
    Role,
    SessionKind,
    Uuid
);

impl Column for Millis {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl ToSql for Col<Millis> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Integer(self.0.0)))
    }
}

/// SQLite's integers are signed; counters and sizes stay far below the sign bit.
impl Column for u64 {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::try_from(value.as_i64()?).map_err(|_| FromSqlError::InvalidType)
    }
}

impl ToSql for Col<u64> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value =
            i64::try_from(self.0).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        Ok(ToSqlOutput::Owned(Value::Integer(value)))
    }
}

impl<T: Column> Column for Option<T> {
    fn read(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::read(value).map(Some),
        }
    }
}
