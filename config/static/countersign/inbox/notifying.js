// Notifications on this device: asked for by a button alone, one for each request however many pages are open, silent.

const KEY = "countersign.notify";

export const can = () => "Notification" in window && window.isSecureContext;
export const isOn = () => can() && Notification.permission === "granted" && localStorage.getItem(KEY) === "on";

// Turns them on or off; returns why they cannot be turned on, if so.
export const turn = async (on) => {
  if (!on) { localStorage.removeItem(KEY); return ""; }
  const answer = await Notification.requestPermission();
  if (answer !== "granted") return "The browser blocks notifications of this site. Permit them in its settings, then try again.";
  localStorage.setItem(KEY, "on");
  document.dispatchEvent(new CustomEvent("approvals:notify"));
  return "";
};

// Tells of a request, unless somebody looks at the list in which it appears.
export const tell = ({ id, title, text }) => {
  if (!isOn()) return;
  if (document.querySelector("[data-inbox]") && !document.hidden && document.hasFocus()) return;
  try {
    const note = new Notification(title, { body: text, tag: `approval-${id}`, silent: true });
    note.onclick = () => {
      window.open(`/approvals/${id}/`, `approval-${id}`); // its own tab: nothing that is being written is lost
      note.close();
    };
  } catch (error) {
    console.warn("this browser shows no notification from a page", error); // phones: only from a service worker
  }
};
