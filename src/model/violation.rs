//! What is wrong with a request, all of it at once.

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The proto path of the field, for example `redirect_urls.success`.
    pub field: String,
    /// What is wrong and what to write instead; follows the field's name in a sentence.
    pub description: String,
    /// The rule that was broken, when callers act differently on it.
    pub rule: Rule,
}

/// Which rule a violation breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A bound or a form of the field itself.
    Field,
    /// `auto_return` needs a success URL (Mercado Pago's `invalid_auto_return`).
    AutoReturnNeedsSuccessUrl,
}

/// Collects violations while a request is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one of [`Rule::Field`].
    pub fn add(&mut self, field: impl Into<String>, description: impl ToString) {
        self.add_rule(Rule::Field, field, description);
    }

    /// Adds one of that rule.
    pub fn add_rule(&mut self, rule: Rule, field: impl Into<String>, description: impl ToString) {
        self.0.push(Violation { field: field.into(), description: description.to_string(), rule });
    }

    /// Takes the value, or adds what is wrong with it under that field.
    pub fn take<T, E: ToString>(&mut self, field: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|wrong| self.add(field, wrong.to_string())).ok()
    }

    /// The same, of a message that stands within another one's field; `prefix` ends with a dot or is empty.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        let within = |violation: Violation| Violation { field: format!("{prefix}{}", violation.field), ..violation };
        Self(self.0.into_iter().map(within).collect())
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong, in the order in which it was found.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }
}
