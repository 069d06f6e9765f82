-- What started a run, in the words of the orchestrator that did: which of its workflows, and which run of that. None when
-- it said nothing, and of runs of earlier versions.
ALTER TABLE runs ADD COLUMN orchestrator TEXT;
