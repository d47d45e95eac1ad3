//! What a run reads beside its resources: frames, facts, the last words of a failed step.

use super::{facts, hint};
use crate::base::frame::ScriptBuilder;
use crate::hostile::Parser;

pub(crate) fn parsers() -> Vec<Parser> {
    let frames = "noise\x1en0:facts\x1fsystem=x\n\x1en0:facts:0\x1f\x1en0:file\x1fabc\x1e\x1f\x1en0:file:3\x1f";
    vec![
        Parser::new("engine", "frames", &[frames, "\x1en0:facts\x1f\x1en0:facts\x1f\x1en0:file:0\x1f"], |bytes| {
            let reader = || {
                let mut builder = ScriptBuilder::new("n0");
                builder.fragment("facts", ":");
                builder.fragment("file", ":");
                builder.finish().1
            };
            // However the stream is cut, it is read the same.
            let whole = reader().feed(bytes);
            for size in [1, 13] {
                let mut pieces = reader();
                let seen: Vec<_> = bytes.chunks(size).flat_map(|chunk| pieces.feed(chunk)).collect();
                assert_eq!(seen, whole);
            }
        }),
        Parser::text(
            "engine",
            "facts",
            &["system=CentOS Linux release 7.6.1810 (Core) \nkernel=3.10.0-957.el7\nrehearsal=x\npending=a--b\n"],
            |text| {
                let _ = facts::parse(text).describe();
            },
        ),
        Parser::text("engine", "hints", &["No space left on device\n", "Another app is currently holding the yum lock\n"], |text| {
            let _ = hint::hint(text);
        }),
    ]
}
