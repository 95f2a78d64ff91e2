/**
 * Drives one browser client through its own API, inside the page.
 *
 * Clients come in a list of one: next's is a promise too, and would be resolved to something else.
 */
const CLIENTS = {
  next: ({ key, host, options }) => {
    const analytics = AnalyticsNext.AnalyticsBrowser.load(
      { writeKey: key, cdnURL: host },
      { integrations: { "Segment.io": { apiHost: `${host.split("//")[1]}/v1`, protocol: "http", ...options } } },
    );
    return analytics.ready().then(() => [analytics]);
  },
  "rud-js": ({ key, host, options }) =>
    new Promise((resolve) => {
      const analytics = new rudderanalytics.RudderAnalytics();
      analytics.load(key, host, { configUrl: host, ...options });
      analytics.ready(() => resolve([analytics]));
    }),
  jitsu: ({ key, host, options }) => [jitsuAnalytics({ writeKey: key, host, ...options })],
};

function say(client, { kind, values, ...fields }) {
  const given = revived(values);
  switch (kind) {
    case "identify":
      return client.identify(fields.userId, given);
    case "track":
      return client.track(fields.event, given);
    case "page":
      return client.page(fields.category, fields.name, given);
    case "screen":
      return client.screen(fields.category, fields.name, given);
    case "group":
      return client.group(fields.groupId, given);
    case "alias":
      return client.alias(fields.userId, fields.previousId);
  }
}

async function drive(name, scenario) {
  const [client] = await CLIENTS[name](scenario);
  for (const one of scenario.calls) {
    say(client, one);
    await new Promise((resolve) => setTimeout(resolve, scenario.pause_s * 1000));
  }
}
