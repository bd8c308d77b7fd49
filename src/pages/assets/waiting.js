// Loads a waiting page again as soon as its session turned. Without scripts the page does so from time to time.
const { events: address } = document.querySelector("[data-events]").dataset;
const events = new EventSource(address);

events.addEventListener("turned", () => {
  events.close();
  location.reload();
});

// After a lost connection the browser asks again by itself; after a refusal it does not.
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) {
    setTimeout(() => location.reload(), 15000);
  }
});
