-- Casso's PostgreSQL database: organizations, users and tickets are deleted softly (deleted_at), the sweep makes it final.
CREATE TABLE organisations (
  id uuid PRIMARY KEY, name text NOT NULL, card_last4 text, billing_address text, stripe_customer text,
  created_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE organisation_settings (
  organisation_id uuid PRIMARY KEY REFERENCES organisations, support_address text, signature text, locale text NOT NULL);
CREATE TABLE users (
  id uuid PRIMARY KEY, organisation_id uuid NOT NULL REFERENCES organisations, name text NOT NULL, email varchar(120) NOT NULL UNIQUE,
  password_hash text, phone text, picture_key text, created_at timestamptz NOT NULL, deleted_at timestamptz, anonymized_at timestamptz);
CREATE INDEX ON users (organisation_id);
CREATE TABLE oauth_identities (
  provider text NOT NULL, subject text NOT NULL, user_id uuid NOT NULL REFERENCES users, PRIMARY KEY (provider, subject));
CREATE INDEX ON oauth_identities (user_id);
CREATE TABLE teams (
  id bigint PRIMARY KEY, organisation_id uuid NOT NULL REFERENCES organisations, name text NOT NULL);
CREATE INDEX ON teams (organisation_id);
CREATE TABLE team_members (
  team_id bigint NOT NULL REFERENCES teams, user_id uuid NOT NULL REFERENCES users, PRIMARY KEY (team_id, user_id));
CREATE INDEX ON team_members (user_id);

CREATE TABLE tickets (
  id bigint PRIMARY KEY, organisation_id uuid NOT NULL REFERENCES organisations, assignee_id uuid REFERENCES users,
  subject text NOT NULL, sender text, deleted_at timestamptz);
CREATE INDEX ON tickets (organisation_id, deleted_at);
CREATE INDEX ON tickets (assignee_id);
CREATE TABLE comments (
  id bigint PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES tickets, parent_id bigint REFERENCES comments,
  author_id uuid REFERENCES users, body text NOT NULL);
CREATE INDEX ON comments (ticket_id);
CREATE INDEX ON comments (parent_id);
CREATE INDEX ON comments (author_id);
CREATE TABLE attachments (
  id bigint PRIMARY KEY, comment_id bigint NOT NULL REFERENCES comments, file_name text NOT NULL, storage_key text NOT NULL);
CREATE INDEX ON attachments (comment_id);
CREATE TABLE email_messages (
  message_id text PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES tickets, headers text);
CREATE INDEX ON email_messages (ticket_id);
CREATE TABLE survey_answers (
  ticket_id bigint PRIMARY KEY REFERENCES tickets, rating integer NOT NULL, feedback text);

CREATE TABLE activity_logs (
  id bigint PRIMARY KEY, organisation_id uuid NOT NULL, actor text, ip inet, action text NOT NULL, happened_at timestamp);
CREATE INDEX ON activity_logs (organisation_id, happened_at);
CREATE TABLE feature_usage (
  id bigint PRIMARY KEY, organisation_id uuid NOT NULL, page text NOT NULL, used_at_ms bigint NOT NULL);
CREATE INDEX ON feature_usage (organisation_id, used_at_ms);

CREATE TABLE payments (
  id bigint PRIMARY KEY, organisation_id uuid NOT NULL REFERENCES organisations, cents bigint NOT NULL, payer text NOT NULL,
  paid_at timestamptz NOT NULL);
CREATE INDEX ON payments (organisation_id, paid_at);
CREATE TABLE refunds (
  id bigint PRIMARY KEY, payment_id bigint NOT NULL REFERENCES payments, cents bigint NOT NULL, refunded_at timestamptz NOT NULL);
CREATE INDEX ON refunds (payment_id);
