-- CaaSaaS's PostgreSQL database, as its policy describes the data. Logs have no foreign key: they outlive their customer.
CREATE TABLE customers (
  id bigint PRIMARY KEY, reseller_id bigint REFERENCES customers, kind text NOT NULL, name text NOT NULL,
  contact_name text, email text, phone text, plan text NOT NULL, audit_log_months integer, created_at timestamptz NOT NULL);
CREATE INDEX ON customers (reseller_id);
CREATE TABLE subscriptions (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, started_at timestamptz NOT NULL, ended_at timestamptz);
CREATE INDEX ON subscriptions (customer_id);
CREATE TABLE users (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, name text NOT NULL, email text NOT NULL UNIQUE);
CREATE INDEX ON users (customer_id);
CREATE TABLE api_keys (
  id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, key_sha256 text NOT NULL, label text);
CREATE INDEX ON api_keys (user_id);

CREATE TABLE brands (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, name text NOT NULL, guidelines text);
CREATE INDEX ON brands (customer_id);
CREATE TABLE brand_assets (
  id bigint PRIMARY KEY, brand_id bigint NOT NULL REFERENCES brands, file_name text NOT NULL);
CREATE INDEX ON brand_assets (brand_id);
CREATE TABLE contacts (
  customer_id bigint NOT NULL REFERENCES customers, number integer NOT NULL, name text, email text, phone text, notes text,
  PRIMARY KEY (customer_id, number));
CREATE TABLE support_tickets (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, subject text);
CREATE INDEX ON support_tickets (customer_id);
CREATE TABLE support_messages (
  id bigint PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES support_tickets DEFERRABLE INITIALLY DEFERRED, body text);
CREATE INDEX ON support_messages (ticket_id);
CREATE TABLE site_credentials (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, site text, secret text);
CREATE INDEX ON site_credentials (customer_id);

CREATE TABLE tool_executions (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL, tool text NOT NULL, parameters jsonb, executed_at timestamptz);
CREATE INDEX ON tool_executions (customer_id, executed_at);
CREATE TABLE ai_usage (
  id bigint NOT NULL, customer_id bigint NOT NULL, provider text NOT NULL, model text NOT NULL, cost_cents integer NOT NULL,
  used_at timestamptz NOT NULL, PRIMARY KEY (used_at, id)) PARTITION BY RANGE (used_at);
-- The loader puts :split some months before the cutoff, so that due rows lie in both partitions.
CREATE TABLE ai_usage_old PARTITION OF ai_usage FOR VALUES FROM (MINVALUE) TO (:split);
CREATE TABLE ai_usage_new PARTITION OF ai_usage FOR VALUES FROM (:split) TO (MAXVALUE);
CREATE INDEX ON ai_usage (customer_id, used_at);
CREATE TABLE auth_events (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL, kind text NOT NULL, email text, ip inet, happened_at timestamptz NOT NULL);
CREATE INDEX ON auth_events (happened_at);

CREATE TABLE invoices (
  id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, number text NOT NULL UNIQUE, issued_on date NOT NULL,
  billing_name text NOT NULL, billing_address text NOT NULL, total_cents bigint NOT NULL);
CREATE INDEX ON invoices (customer_id, issued_on);
CREATE TABLE invoice_lines (
  invoice_id bigint NOT NULL REFERENCES invoices, line integer NOT NULL, text text NOT NULL, cents bigint NOT NULL,
  PRIMARY KEY (invoice_id, line));

CREATE TABLE page_views (
  id bigint PRIMARY KEY, viewed_at timestamptz, ip inet, visitor_id text, user_agent text, url text, referrer text,
  session_id text, country text, anonymized_at timestamptz);
CREATE INDEX ON page_views (viewed_at);
