SELECT count(*), sum(amount_due), sum(amount_paid), sum(amount_remaining),
    count(*) FILTER (WHERE status = 'paid')
FROM peer.invoices
