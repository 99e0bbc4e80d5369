"""What is counted. One `Meters` per service, over a registry that `service` owns; nothing is global.

Labels hold feed names, causes and codes only: never an identifier, never message content.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Meters:
    """Counters, gauges and histograms of one service (Prometheus names; times in seconds)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.received = Counter(
            "hawsepipe_feed_messages_received", "Messages read from a feed.", ["feed"], registry=self.registry
        )
        self.acknowledged = Counter(
            "hawsepipe_feed_acknowledgements",
            "Acknowledgements sent, by MSA-1.",
            ["feed", "code"],
            registry=self.registry,
        )
        self.duplicates = Counter(
            "hawsepipe_feed_duplicates",
            "Messages answered from the journal.",
            ["feed"],
            registry=self.registry,
        )
        self.reused = Counter(
            "hawsepipe_feed_keys_reused",
            "Messages under the control id of another one that was accepted (flag control-id-reuse).",
            ["feed"],
            registry=self.registry,
        )
        self.framing = Counter(
            "hawsepipe_feed_framing_events",
            "Bytes or events outside the framing rules.",
            ["feed", "event"],
            registry=self.registry,
        )
        self.alerts_open = Gauge(
            "hawsepipe_alerts_open",
            "Whether an alert of this kind about this feed or destination is open.",
            ["kind", "about"],
            registry=self.registry,
        )
        self.alert_notices = Counter(
            "hawsepipe_alert_notices",
            "Notices of alerts (opened, reminder, closed).",
            ["kind", "about", "notice"],
            registry=self.registry,
        )
        self.pruned = Counter(
            "hawsepipe_journal_pruned", "Entries taken out of the journal.", ["state"], registry=self.registry
        )
        self.connections = Gauge(
            "hawsepipe_feed_connections", "Open connections of a feed.", ["feed"], registry=self.registry
        )
        self.acknowledge_seconds = Histogram(
            "hawsepipe_feed_acknowledge_seconds",
            "From the last byte of a message to its acknowledgement.",
            ["feed"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.feed_backlog = Gauge(
            "hawsepipe_feed_backlog",
            "Journalled messages of a feed that are not applied yet.",
            ["feed"],
            registry=self.registry,
        )
        self.feed_held = Gauge(
            "hawsepipe_feed_held",
            "Those of them that wait behind a dead letter about the same patient.",
            ["feed"],
            registry=self.registry,
        )
        self.feed_oldest = Gauge(
            "hawsepipe_feed_oldest_seconds",
            "Age of the oldest of them; 0 when there is none.",
            ["feed"],
            registry=self.registry,
        )
        self.delivered = Counter(
            "hawsepipe_delivery_delivered", "Messages that a destination has.", ["destination"], registry=self.registry
        )
        self.delivery_failures = Counter(
            "hawsepipe_delivery_failures",
            "Deliveries that failed, by error class.",
            ["destination", "error"],
            registry=self.registry,
        )
        self.deliveries_refused = Counter(
            "hawsepipe_delivery_refused",
            "Messages that a receiver would not have.",
            ["destination"],
            registry=self.registry,
        )
        self.delivery_strays = Counter(
            "hawsepipe_delivery_stray_answers",
            "Answers of a receiver to something else than what was asked.",
            ["destination"],
            registry=self.registry,
        )
        self.delivery_seconds = Histogram(
            "hawsepipe_delivery_seconds",
            "Time to deliver a message.",
            ["destination"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.delivery_state = Gauge(
            "hawsepipe_delivery_state",
            "1 for the state in which a destination is now, 0 for the others.",
            ["destination", "state"],
            registry=self.registry,
        )
        self.delivery_queue = Gauge(
            "hawsepipe_delivery_queue", "Messages that wait for a destination.", ["destination"], registry=self.registry
        )
        self.delivery_set_aside = Gauge(
            "hawsepipe_delivery_set_aside",
            "Messages that were set aside since the receiver refused them.",
            ["destination"],
            registry=self.registry,
        )
        self.delivery_oldest = Gauge(
            "hawsepipe_delivery_oldest_seconds",
            "Age of the oldest message that waits for a destination.",
            ["destination"],
            registry=self.registry,
        )
        self.applied = Counter(
            "hawsepipe_intake_applied", "Messages whose effect is stored.", ["feed"], registry=self.registry
        )
        self.contradictions = Gauge(
            "hawsepipe_consent_contradictions",
            "People whose merged records bring consents that differ: somebody has to decide.",
            registry=self.registry,
        )
        self.held = Counter(
            "hawsepipe_intake_held",
            "Messages that had to wait behind a dead letter about the same patient.",
            ["feed"],
            registry=self.registry,
        )
        self.lanes = Gauge(
            "hawsepipe_intake_lanes_held",
            "Patients whose messages wait behind a dead letter.",
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "hawsepipe_intake_dead_letters",
            "Messages set aside, by cause.",
            ["feed", "cause"],
            registry=self.registry,
        )
        self.findings = Counter(
            "hawsepipe_translation_findings",
            "What translators reported, by cause and severity.",
            ["feed", "cause", "severity"],
            registry=self.registry,
        )
        self.backlog = Gauge(
            "hawsepipe_intake_backlog",
            "Journalled messages that are not applied yet.",
            registry=self.registry,
        )
        self.versions = Counter(
            "hawsepipe_store_versions", "Resource versions stored, by type.", ["type"], registry=self.registry
        )
        self.outbox = Gauge("hawsepipe_ledger_outbox", "Versions that are not in the log yet.", registry=self.registry)
        self.checkpoints = Counter(
            "hawsepipe_ledger_checkpoints", "Batches of versions brought into the log.", registry=self.registry
        )
        self.log_size = Gauge("hawsepipe_ledger_log_size", "Leaves in the log.", registry=self.registry)
        self.anchored_size = Gauge(
            "hawsepipe_ledger_anchored_size",
            "Leaves covered by a backend.",
            ["backend"],
            registry=self.registry,
        )
        self.ledger_state = Gauge(
            "hawsepipe_ledger_state",
            "1 for the state in which a backend is now, 0 for the others.",
            ["backend", "state"],
            registry=self.registry,
        )
        self.log_state = Gauge(
            "hawsepipe_ledger_log_state",
            "1 for the state in which the log as a whole is now, 0 for the others.",
            ["state"],
            registry=self.registry,
        )
        self.ledger_failures = Counter(
            "hawsepipe_ledger_failures",
            "Failed calls to a ledger backend, by error class.",
            ["backend", "error"],
            registry=self.registry,
        )
        self.requests = Counter(
            "hawsepipe_api_requests",
            "API requests, by interaction and status.",
            ["interaction", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "hawsepipe_api_request_seconds",
            "Time to answer an API request.",
            ["interaction"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decisions = Counter(
            "hawsepipe_consent_decisions", "Access decisions.", ["decision"], registry=self.registry
        )
