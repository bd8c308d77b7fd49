//! A merchant's settings, and which of them change.

use super::field::{duration, list, merchant_id, plain_text};
use crate::{
    app::MerchantChange,
    model::{MerchantId, Outcome, Precedence, Violations, limits},
    proto::v1,
    redirect::{Mode, OriginPattern},
};
use prost_types::FieldMask;
use std::time::Duration;

/// `GetMerchant`.
pub fn get_merchant(request: v1::GetMerchantRequest) -> Result<MerchantId, Violations> {
    let mut violations = Violations::default();
    merchant_id("merchant_id", request.merchant_id, &mut violations).ok_or(violations)
}

/// The fields of a merchant that an update mask may name.
const MASK: [&str; 12] = [
    "name",
    "return_urls",
    "return_urls.success",
    "return_urls.failure",
    "return_urls.cancel",
    "return_urls.pending",
    "return_urls.expired",
    "precedence",
    "auto_return_delay",
    "allowed_origins",
    "app_schemes",
    "sign_returns",
];

/// `UpdateMerchant`. The merchant is `None` when its id is wrong.
pub fn update_merchant(
    request: v1::UpdateMerchantRequest,
    mode: Mode,
) -> (Option<MerchantId>, MerchantChange, Violations) {
    let mut violations = Violations::default();
    let Some(merchant) = request.merchant else {
        violations.add("merchant", "is missing: write the merchant with its merchant_id and the fields to change");
        return (None, MerchantChange::default(), violations);
    };
    // A mask that names nothing is what generated clients send for none.
    let mask = request.update_mask.filter(|mask| !mask.paths.is_empty());
    let mask = mask.map(|mask| read_mask(mask, &mut violations));
    // Without a mask, the fields that are set; with one, the fields that it names.
    let changes = |field: &str, is_set: bool| match &mask {
        None => is_set,
        Some(mask) => mask.iter().any(|named| named == field || named == "*"),
    };
    let id = merchant_id("merchant.merchant_id", merchant.merchant_id, &mut violations);
    let mut change =
        MerchantChange { etag: Some(merchant.etag).filter(|etag| !etag.is_empty()), ..MerchantChange::default() };
    if changes("name", !merchant.name.is_empty()) {
        let name = plain_text("merchant.name", merchant.name, limits::NAME_BYTES, &mut violations);
        change.name = Some(name.unwrap_or_default().into());
    }
    let urls = merchant.return_urls.unwrap_or_default();
    for (slot, url) in [
        (Outcome::Success, urls.success),
        (Outcome::Failure, urls.failure),
        (Outcome::Cancel, urls.cancel),
        (Outcome::Pending, urls.pending),
        (Outcome::Expired, urls.expired),
    ] {
        let all = changes("return_urls", false);
        if all || changes(&format!("return_urls.{}", slot.as_str()), !url.is_empty()) {
            change.return_urls.push((slot, url.into()));
        }
    }
    if changes("precedence", merchant.precedence != 0) {
        change.precedence = precedence(merchant.precedence, &mut violations);
    }
    if changes("auto_return_delay", merchant.auto_return_delay.is_some()) {
        let field = "merchant.auto_return_delay";
        let max = limits::AUTO_RETURN_DELAY_MAX;
        change.auto_return_delay = match merchant.auto_return_delay {
            None => Some(limits::AUTO_RETURN_DELAY_DEFAULT),
            Some(delay) => duration(field, delay, Duration::ZERO, max, &mut violations).inspect(|delay| {
                if delay.subsec_nanos() % 1_000_000 != 0 {
                    violations.add(field, "is finer than a millisecond: write whole milliseconds");
                }
            }),
        };
    }
    if changes("allowed_origins", !merchant.allowed_origins.is_empty()) {
        let field = "merchant.allowed_origins";
        let parse = |text: &str| OriginPattern::parse(text, mode);
        change.allowed_origins =
            Some(list(field, &merchant.allowed_origins, limits::ALLOWED_ORIGINS, parse, &mut violations));
    }
    if changes("app_schemes", !merchant.app_schemes.is_empty()) {
        let field = "merchant.app_schemes";
        change.app_schemes = Some(list(field, &merchant.app_schemes, limits::APP_SCHEMES, str::parse, &mut violations));
    }
    if changes("sign_returns", merchant.sign_returns) {
        change.sign_returns = Some(merchant.sign_returns);
    }
    (id, change, violations)
}

/// Paths of a mask that are told to be none: some more than the fields, as a message may hold very many.
const UNKNOWN_PATHS_TOLD: usize = 16;

fn read_mask(mask: FieldMask, violations: &mut Violations) -> Vec<String> {
    let unknown = |path: &&String| *path != "*" && !MASK.contains(&path.as_str());
    let mut unknown = mask.paths.iter().filter(unknown);
    for path in unknown.by_ref().take(UNKNOWN_PATHS_TOLD) {
        // A name as long as a message would drown the answer.
        let shown = &path[..path.floor_char_boundary(limits::MERCHANT_ID_BYTES)];
        violations.add(
            "update_mask",
            format!("names `{shown}`, which is not a field that can change: write `*` or some of {}", MASK.join(", ")),
        );
    }
    let more = unknown.count();
    if more > 0 {
        violations.add("update_mask", format!("names {more} more that are not fields"));
    }
    mask.paths
}

fn precedence(number: i32, violations: &mut Violations) -> Option<Precedence> {
    match v1::Precedence::try_from(number) {
        Ok(v1::Precedence::Unspecified) => Some(Precedence::default()),
        Ok(v1::Precedence::SettingsFirst) => Some(Precedence::SettingsFirst),
        Ok(v1::Precedence::RequestFirst) => Some(Precedence::RequestFirst),
        Err(_) => {
            violations.add(
                "merchant.precedence",
                format!("is the number {number}, which is no precedence: write PRECEDENCE_SETTINGS_FIRST or PRECEDENCE_REQUEST_FIRST"),
            );
            None
        }
    }
}
