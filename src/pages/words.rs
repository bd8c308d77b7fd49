//! What the pages say, in each language.
//!
//! A page promises nothing that its session's state does not support: only a recorded success is called paid, and
//! nobody is told that no money moved, which only the provider knows.

use super::language::Language;
use crate::model::Outcome;

/// How a session stands, for its buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is recorded, and there is time left: the buyer left, or the provider's word is still on its way.
    Open,
    /// It ended like this.
    Ended(Outcome),
}

impl Standing {
    /// The name for it in stylesheets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// Whether the buyer is likely to wait for it to change.
    pub const fn is_awaited(self) -> bool {
        matches!(self, Self::Open | Self::Ended(Outcome::Pending))
    }
}

/// A heading and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Saying {
    /// The heading, which is also the title of the page.
    pub heading: &'static str,
    /// The explanation.
    pub text: &'static str,
}

/// The words of one language.
#[derive(Debug)]
pub struct Words {
    /// Its tag (BCP 47).
    pub tag: &'static str,
    /// Nothing recorded.
    pub open: Saying,
    /// Paid.
    pub success: Saying,
    /// Attempted and not completed.
    pub failure: Saying,
    /// Left.
    pub cancel: Saying,
    /// Settles later.
    pub pending: Saying,
    /// Ran out of time.
    pub expired: Saying,
    /// The one page for every link that opens nothing.
    pub not_found: Saying,
    /// The page for faults that pass.
    pub unavailable: Saying,
    /// The page for requests that no page of ours makes.
    pub refused: Saying,
    /// The label of an amount.
    pub amount: &'static str,
    /// The label of the shop's own reference, or of ours.
    pub reference: &'static str,
    /// The label of the provider's id of the payment.
    pub payment: &'static str,
    /// The button.
    pub return_to_site: &'static str,
    /// Stands before a number of seconds, for the countdown.
    pub returning_in: &'static str,
    /// Ends the countdown.
    pub stay: &'static str,
    /// Said instead of a button.
    pub close: &'static str,
    /// Said while the page waits for its outcome.
    pub turns_by_itself: &'static str,
}

impl Words {
    /// The words of that language.
    pub const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Spanish => &SPANISH,
            Language::Portuguese => &PORTUGUESE,
            Language::French => &FRENCH,
        }
    }

    /// What is said about a session that stands like this.
    pub const fn about(&self, standing: Standing) -> Saying {
        match standing {
            Standing::Open => self.open,
            Standing::Ended(Outcome::Success) => self.success,
            Standing::Ended(Outcome::Failure) => self.failure,
            Standing::Ended(Outcome::Cancel) => self.cancel,
            Standing::Ended(Outcome::Pending) => self.pending,
            Standing::Ended(Outcome::Expired) => self.expired,
        }
    }
}

const ENGLISH: Words = Words {
    tag: "en",
    open: Saying {
        heading: "No payment yet",
        text: "We have not heard of a payment for this purchase. If you have just paid, please wait a moment.",
    },
    success: Saying { heading: "Payment complete", text: "Your payment was received. Thank you." },
    failure: Saying {
        heading: "Payment not completed",
        text: "The payment did not go through. You can go back to the shop and try again or pay another way.",
    },
    cancel: Saying { heading: "Payment cancelled", text: "You left before the payment was made." },
    pending: Saying {
        heading: "Payment pending",
        text: "Your payment has not arrived yet. Paying at a shop or by bank transfer can take a few days. You can close \
               this page and open the same link again later.",
    },
    expired: Saying { heading: "Time is up", text: "The time to pay ran out before a payment arrived." },
    not_found: Saying {
        heading: "Page not found",
        text: "This link does not open anything. Check that you have all of it, or ask the shop.",
    },
    unavailable: Saying {
        heading: "Please try again",
        text: "This page cannot be shown right now. Load it again in a moment; nothing is lost.",
    },
    refused: Saying { heading: "That did not work", text: "Please go back and try again." },
    amount: "Amount",
    reference: "Reference",
    payment: "Payment number",
    return_to_site: "Return to site",
    returning_in: "Returning to the site in",
    stay: "Stay on this page",
    close: "You can close this page.",
    turns_by_itself: "This page changes by itself when the payment arrives.",
};

const SPANISH: Words = Words {
    tag: "es",
    open: Saying {
        heading: "Todavía no hay ningún pago",
        text: "No tenemos noticia de ningún pago de esta compra. Si acabas de pagar, espera un momento.",
    },
    success: Saying { heading: "Pago completado", text: "Hemos recibido tu pago. Gracias." },
    failure: Saying {
        heading: "Pago no completado",
        text: "El pago no se ha realizado. Puedes volver a la tienda e intentarlo otra vez o pagar de otra forma.",
    },
    cancel: Saying { heading: "Pago cancelado", text: "Has salido antes de hacer el pago." },
    pending: Saying {
        heading: "Pago pendiente",
        text: "Tu pago todavía no ha llegado. Pagar en una tienda o por transferencia puede tardar unos días. Puedes \
               cerrar esta página y abrir el mismo enlace más tarde.",
    },
    expired: Saying {
        heading: "Se acabó el tiempo",
        text: "El plazo para pagar terminó antes de que llegara un pago.",
    },
    not_found: Saying {
        heading: "Página no encontrada",
        text: "Este enlace no abre nada. Comprueba que está completo o pregunta en la tienda.",
    },
    unavailable: Saying {
        heading: "Inténtalo de nuevo",
        text: "Ahora no se puede mostrar esta página. Vuelve a cargarla en un momento; no se ha perdido nada.",
    },
    refused: Saying { heading: "No ha funcionado", text: "Vuelve atrás e inténtalo de nuevo." },
    amount: "Importe",
    reference: "Referencia",
    payment: "Número de pago",
    return_to_site: "Volver al sitio",
    returning_in: "Volverás al sitio en",
    stay: "Quedarme en esta página",
    close: "Puedes cerrar esta página.",
    turns_by_itself: "Esta página cambia sola cuando llega el pago.",
};

const PORTUGUESE: Words = Words {
    tag: "pt",
    open: Saying {
        heading: "Ainda não há pagamento",
        text: "Não temos notícia de um pagamento desta compra. Se acabou de pagar, aguarde um momento.",
    },
    success: Saying { heading: "Pagamento concluído", text: "Recebemos o seu pagamento. Obrigado." },
    failure: Saying {
        heading: "Pagamento não concluído",
        text: "O pagamento não foi realizado. Pode voltar à loja e tentar de novo ou pagar de outra forma.",
    },
    cancel: Saying { heading: "Pagamento cancelado", text: "Você saiu antes de fazer o pagamento." },
    pending: Saying {
        heading: "Pagamento pendente",
        text: "O seu pagamento ainda não chegou. Pagar numa loja ou por transferência pode levar alguns dias. Pode fechar \
               esta página e abrir o mesmo link mais tarde.",
    },
    expired: Saying { heading: "O tempo acabou", text: "O prazo para pagar terminou antes de chegar um pagamento." },
    not_found: Saying {
        heading: "Página não encontrada",
        text: "Este link não abre nada. Verifique se está completo ou pergunte à loja.",
    },
    unavailable: Saying {
        heading: "Tente de novo",
        text: "Não é possível mostrar esta página agora. Carregue-a de novo daqui a pouco; nada se perdeu.",
    },
    refused: Saying { heading: "Não funcionou", text: "Volte e tente de novo." },
    amount: "Valor",
    reference: "Referência",
    payment: "Número do pagamento",
    return_to_site: "Voltar ao site",
    returning_in: "Voltando ao site em",
    stay: "Ficar nesta página",
    close: "Pode fechar esta página.",
    turns_by_itself: "Esta página muda sozinha quando o pagamento chega.",
};

const FRENCH: Words = Words {
    tag: "fr",
    open: Saying {
        heading: "Pas encore de paiement",
        text: "Nous n’avons pas connaissance d’un paiement pour cet achat. Si vous venez de payer, patientez un instant.",
    },
    success: Saying { heading: "Paiement effectué", text: "Nous avons bien reçu votre paiement. Merci." },
    failure: Saying {
        heading: "Paiement non abouti",
        text: "Le paiement n’a pas abouti. Vous pouvez revenir à la boutique pour réessayer ou payer autrement.",
    },
    cancel: Saying { heading: "Paiement annulé", text: "Vous êtes parti avant d’avoir payé." },
    pending: Saying {
        heading: "Paiement en attente",
        text: "Votre paiement n’est pas encore arrivé. Un paiement en magasin ou par virement peut prendre quelques jours. \
               Vous pouvez fermer cette page et rouvrir le même lien plus tard.",
    },
    expired: Saying {
        heading: "Le délai est écoulé",
        text: "Le délai de paiement a pris fin avant l’arrivée d’un paiement.",
    },
    not_found: Saying {
        heading: "Page introuvable",
        text: "Ce lien n’ouvre rien. Vérifiez qu’il est complet ou demandez à la boutique.",
    },
    unavailable: Saying {
        heading: "Veuillez réessayer",
        text: "Cette page ne peut pas être affichée pour le moment. Rechargez-la dans un instant ; rien n’est perdu.",
    },
    refused: Saying { heading: "Cela n’a pas fonctionné", text: "Revenez en arrière et réessayez." },
    amount: "Montant",
    reference: "Référence",
    payment: "Numéro de paiement",
    return_to_site: "Retour au site",
    returning_in: "Retour au site dans",
    stay: "Rester sur cette page",
    close: "Vous pouvez fermer cette page.",
    turns_by_itself: "Cette page change d’elle-même dès que le paiement arrive.",
};
