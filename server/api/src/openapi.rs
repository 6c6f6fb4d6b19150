//! The `OpenAPI` document of the contract, made from its types.
