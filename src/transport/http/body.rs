//! Reading request bodies: size bounded after decompression, media type checked, JSON errors with their place.
//!
//! The decompression layer of the router has replaced a gzip body by its stream of decompressed bytes, so the one
//! bound here holds for both; a coding it does not know is still named in the headers and is refused here.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::domain::limits;

/// Reads a body of at most `bytes_max` decompressed bytes.
pub async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING) {
        let coding = coding.to_str().unwrap_or("?");
        if !coding.eq_ignore_ascii_case("identity") {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_coding",
                format!("content coding {coding:?} is not supported"),
            )
            .suggest("send the body plain or with `Content-Encoding: gzip`"));
        }
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if declared.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::with_capacity(declared.unwrap_or(0));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "bad_body", format!("can't read the body: {error}"))
        })?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body passes the limit of {bytes_max} bytes after decompression"),
    )
    .suggest("send smaller batches")
}

/// The media type without its parameters, in lower case; empty if none is given.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// A JSON body: like axum's own, but with our shape of errors and our bounds.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let media = media_type(&parts.headers);
        if !matches!(media.as_str(), "" | "application/json") {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                format!("media type {media:?} is not supported here"),
            )
            .suggest("send `Content-Type: application/json`"));
        }
        let bytes = read(&parts.headers, body, limits::BATCH_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "bad_json", format!("the body is not as described: {error}"))
        })
    }
}
