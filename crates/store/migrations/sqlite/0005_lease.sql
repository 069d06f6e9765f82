-- Where a run's process is, for people. The moment of the schedule that the run is for; none when somebody asked
-- for it. Neither of runs of earlier versions.
ALTER TABLE runs ADD COLUMN host TEXT;
ALTER TABLE runs ADD COLUMN due_at TEXT;
