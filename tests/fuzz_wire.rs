//! Fuzz targets of the decoders that strangers reach. `cargo test` runs each for a moment; `cargo bolero test NAME` for long.

use bytes::Bytes;
use sojourn::wire::event::{
    BatchFormat, decode_json_batch, decode_json_event, decode_rmp_event, properties_to_map, write_event,
};
use sojourn::wire::frame::{ClientFrame, LENGTH_BYTES, decode_client, decode_hello, decode_server, encode_client};

#[test]
fn hellos() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = decode_hello(bytes);
    });
}

#[test]
fn server_frames() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = decode_server(bytes);
    });
}

#[test]
fn client_frames() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(ClientFrame::Batch(batch)) = decode_client(&Bytes::copy_from_slice(bytes)) else { return };
        for event in &batch.events {
            properties_to_map(&event.properties).expect("what the door lets in can be read");
        }
        if batch.rejected.is_empty() {
            let mut out = Vec::new();
            encode_client(&mut out, &ClientFrame::Batch(batch.clone()));
            assert_eq!(decode_client(&Bytes::from(out.split_off(LENGTH_BYTES))), Ok(ClientFrame::Batch(batch)));
        }
    });
}

#[test]
fn messagepack_events() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(event) = decode_rmp_event(&Bytes::copy_from_slice(bytes)) else { return };
        let mut out = Vec::new();
        write_event(&mut out, &event);
        assert_eq!(decode_rmp_event(&out.into()), Ok(event));
    });
}

#[test]
fn json_events() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = decode_json_batch(bytes, BatchFormat::Auto);
        let Ok(event) = decode_json_event(bytes) else { return };
        properties_to_map(&event.properties).expect("what the door lets in can be read");
    });
}
